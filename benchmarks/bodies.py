"""Bodies of the API's responses, with invented IDs: the assign response and a page of disks."""

from __future__ import annotations

import json
import random
import string

_ALPHABET = string.ascii_letters + string.digits


def an_id(prefix: str, rng: random.Random) -> str:
    """A prefix and sixteen alphanumerics, as the API makes them."""
    return f"{prefix}_{''.join(rng.choices(_ALPHABET, k=16))}"


def assign_response(seed: int = 1, *, fqdn: str | None = "database-7.example.com") -> bytes:
    """POST /disks/disk/assign, 200.

    fqdn: None to leave it out. Then the response fits every request that names a machine by FQDN.
    """
    rng = random.Random(seed)
    disk = {
        "id": an_id("disk", rng),
        "name": "database-7 data",
        "size_in_gb": 250,
        "wwn": "5000c500a1b2c3d4",
        "state": "built",
        "created_at": 1_764_000_000,
        "storage_speed": "nvme",
        "io_profile": {
            "id": an_id("diop", rng),
            "name": "Ten thousand",
            "permalink": "ten-thousand",
            "speed_in_mb": 400,
            "iops": 10_000,
        },
        "bus_type": "virtio",
        "data_center": {"id": an_id("loc", rng), "name": "Somewhere 1", "permalink": "somewhere-1"},
        "virtual_machine_disk": {
            "virtual_machine": {"id": an_id("vm", rng), **({"fqdn": fqdn} if fqdn else {})},
            "attach_on_boot": True,
            "boot": False,
            "state": "detached",
        },
        "installation": None,
    }
    return json.dumps({"disk": disk}, separators=(",", ":")).encode()


def disk_of(response: bytes) -> str:
    """The id of the disk that an assign response is about."""
    return str(json.loads(response)["disk"]["id"])


def disk_not_found() -> bytes:
    """POST /disks/disk/assign, 404."""
    error: dict[str, object] = {
        "code": "disk_not_found",
        "description": "No disk was found matching any of the criteria provided in the arguments.",
        "detail": {},
    }
    return json.dumps({"error": error}, separators=(",", ":")).encode()


def disk_page(size: int = 200, seed: int = 1) -> bytes:
    """GET /organizations/organization/disks, one page; two of three disks are assigned."""
    rng = random.Random(seed)
    disks = [
        {
            "id": an_id("disk", rng),
            "name": f"web-{number} system",
            "size_in_gb": rng.choice((10, 25, 50, 250)),
            "wwn": f"5000c500{rng.getrandbits(32):08x}",
            "state": "built",
            "virtual_machine_disk": None
            if number % 3 == 2
            else {
                "virtual_machine": {
                    "id": an_id("vm", rng),
                    "name": f"web-{number}",
                    "fqdn": f"web-{number}.example.com",
                }
            },
        }
        for number in range(size)
    ]
    pagination = {
        "current_page": 1,
        "total_pages": 5,
        "total": 5 * size,
        "per_page": size,
        "large_set": False,
    }
    return json.dumps({"pagination": pagination, "disk": disks}, separators=(",", ":")).encode()
