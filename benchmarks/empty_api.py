"""The yardstick of the HTTP benchmark: FastAPI handlers that take and give the same bodies and do nothing."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

app = FastAPI()


class Reserve(BaseModel):
    """The body of a reservation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: int = Field(ge=1, le=10**12)


class Capture(BaseModel):
    """The body of a capture."""

    model_config = ConfigDict(extra="forbid", strict=True)

    amount: int | None = Field(default=None, ge=1, le=10**12)


@app.post("/api/v1/accounts/{address}/reservations", status_code=201)
async def reserve(address: str, body: Reserve) -> dict[str, str]:
    """Answer as the API does, with constants."""
    return {
        "reservation_id": "r0193ac0000000123456789000000001",
        "expires_at": "2026-01-01T00:15:00.000000Z",
        "position": "0000000000000001",
    }


@app.post("/api/v1/accounts/{address}/reservations/{reservation_id}/capture")
async def capture(address: str, reservation_id: str, body: Capture) -> dict[str, str]:
    """Answer as the API does, with constants."""
    return {"debit_id": "d0193ac0000000123456789000000001", "position": "0000000000000002"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
