"""The keys of this test process: one of the gate, one of the account ``default``."""

from materializers.signatures import PrivateKey, Signer, TrustedKeys, make_key_pair

_gate, GATE_PUBLIC = make_key_pair()
_actor, ACTOR_PUBLIC = make_key_pair()
GATE = PrivateKey.from_pem(_gate, named="the tests' gate")
ACTOR = Signer("default", PrivateKey.from_pem(_actor, named="the tests' actor"))
PUBLIC_KEYS = {"gate_public_key": GATE_PUBLIC, "actor_public_keys": {"default": ACTOR_PUBLIC}}
"""As a model deployer is given them."""
TRUSTED = TrustedKeys(gate=GATE_PUBLIC, actors={"default": ACTOR_PUBLIC})
