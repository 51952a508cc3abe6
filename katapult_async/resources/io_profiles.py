"""The typed method of the IO profile endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator

from katapult_async.models import IOProfile, lookups
from katapult_async.models.responses import IOProfilePage
from katapult_async.transport import Operation, Session

from .pages import pages

LIST = Operation("GET", "/organizations/organization/disk_io_profiles", IOProfilePage)


class IOProfiles:
    """`client.io_profiles`: speed limits for disks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def list(self, *, organization: str, per_page: int = 200) -> AsyncIterator[IOProfile]:
        """Iterate over IO profiles (GET /organizations/organization/disk_io_profiles).

        Args:
            organization: ID (`org_…`) or sub-domain.
            per_page: IO profiles per response, 200 at most.

        Returns:
            The IO profiles that the organization's disks may have.

        Raises:
            NotFound: If the organization does not exist.
            ValueError: If per_page is out of range.
        """
        query = [lookups.organization(organization).query("organization")]
        async for page in pages(self._session, LIST, query, per_page):
            for profile in page.items:
                yield profile
