"""A report of what an account did, signed by that account."""

from __future__ import annotations

from typing import ClassVar, Self

from materializers.report import Report, json_digest
from materializers.signatures import Signer, Statement, TrustedKeys, verify


class SignedReport(Report):
    """A report that the account which acted signs, so that it counts for nothing when it was altered.

    A subclass names the statement that its signature makes.
    """

    statement: ClassVar[Statement]

    actor: str
    """The account that was logged in, whose key signs."""
    signature: str = ""
    """The actor's, of ``signed_digest``, as base64; empty before it is signed."""

    @property
    def signed_digest(self) -> str:
        """The digest of everything but the signature: what is signed."""
        return json_digest(self.model_dump(mode="json", exclude={"signature"}))

    def signed_by(self, signer: Signer) -> Self:
        """The same report with the signature of its actor.

        Raises:
            ValueError: the signer is another account.
        """
        if signer.account != self.actor:
            raise ValueError(f"{signer.account!r} cannot sign what {self.actor!r} did")
        return self.model_copy(update={"signature": signer.sign(self.statement, self.signed_digest)})

    def verify_signature(self, trusted: TrustedKeys) -> None:
        """Check that the actor signed exactly this.

        Raises:
            Refused: nobody did, somebody else did, or it was altered since.
        """
        verify(
            trusted,
            account=self.actor,
            statement=self.statement,
            digest=self.signed_digest,
            signature=self.signature,
        )
