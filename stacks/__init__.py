"""What differs between stacks: their descriptions, the registrar, and the flavors that ZenML lacks."""

import sys
from pathlib import Path

# The `zenml` command puts the project on sys.path only while it imports a flavor's class; what the flavor
# imports later (its implementation, materializers) has to be found too. The entry of ZenML goes, this stays.
sys.path.append(str(Path(__file__).resolve().parents[1]))
