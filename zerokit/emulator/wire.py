"""The scheduler's HTTP side, as `spaces` 0.51.3 speaks it (zero/api.py, zero/client.py)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ..quota.platform import DEFAULT_DECLARED_S, WINDOW_S, granted_s
from . import processes
from .leases import Ask, Lease, Refusal, Ticket
from .scheduler import Scheduler
from .visitors import SPACE, Visitors

# Tells the shim in the app's process what else to do with this call.
FAULT_HEADER = "X-ZeroKit-Fault"
PING_EVERY_S = 1.0
# `spaces` reads one event from one chunk (api.sse_stream): two that arrive together would lose the second.
BETWEEN_EVENTS_S = 0.1
# A worker that was killed gives its card's memory back some time after: the next one may need all of it.
EMPTYING_S = 10.0
APPROVE_RESULT = {
    "seconds": "quota-exceeded",
    "runs": "runs-exceeded",
    "cap": "illegal-duration",
    "credits": "pending-overquota-exceeded",
}
_STATUS = {"401": 401, "503": 503, "refused": 503}


class QueueCut(ConnectionError):
    """Ends a response in the middle: the fault `cut-queue`."""


def wire_routes(scheduler: Scheduler, visitors: Visitors) -> APIRouter:
    """The routes below `SPACES_ZERO_DEVICE_API_URL`."""
    router = APIRouter()

    @router.post("/startup-report")
    def startup_report() -> Response:
        return Response(status_code=200)

    @router.get("/queue-size")
    def queue_size() -> float:
        return float(len(scheduler.queue))

    @router.post("/schedule")
    async def schedule(
        cgroupPath: Annotated[str, Query(min_length=1, max_length=4096)],
        taskId: int,
        durationSeconds: Annotated[int | None, Query(ge=0, le=WINDOW_S)] = None,
        gpuSize: Literal["large", "xlarge"] = "large",
        token: Annotated[str | None, Query(max_length=4096)] = None,
    ) -> Response:
        account = visitors.account(SPACE) if token is None else visitors.by_ip_token(token)
        if account is None:
            return JSONResponse({"detail": "This X-IP-Token is not one of this emulator."}, 401)
        sent_s = granted_s(DEFAULT_DECLARED_S, gpuSize) if durationSeconds is None else durationSeconds
        answer = scheduler.schedule(Ask(cgroupPath, taskId, account, sent_s, gpuSize))
        headers: dict[str, str] = {"X-Authenticated": account.plan.auth} if account.plan.auth else {}
        if isinstance(answer, Refusal):
            return _refuse(answer, headers)
        headers["X-Approve-Result"] = "approved"
        if answer.worker_fault is not None:
            headers[FAULT_HEADER] = str(answer.worker_fault)
        if isinstance(answer, Lease):
            await _until_empty(scheduler, answer)
            return JSONResponse(_granted(answer), headers=headers)
        headers["X-Queuing-Reason"] = answer.reason
        return StreamingResponse(_events(scheduler, answer), media_type="text/event-stream", headers=headers)

    @router.post("/allow")
    def allow(allowToken: str, pid: Annotated[int, Query(gt=1)]) -> Response:
        # The emulator kills this process at the deadline: nobody may name one that is not a worker.
        if pid == os.getpid() or not processes.is_mine(pid):
            return JSONResponse({"detail": f"Process {pid} is not one of this user's."}, 400)
        return Response(status_code=200 if scheduler.allow(allowToken, pid) else 404)

    @router.post("/release")
    def release(allowToken: str, fail: bool = False) -> Response:
        return Response(
            status_code={"released": 200, "unused": 204, "unknown": 404}[scheduler.release(allowToken, fail)]
        )

    return router


def _granted(lease: Lease) -> dict[str, str | int | bool]:
    return {
        "idle": lease.idle,
        "nvidiaIndex": lease.gpu.index,
        "nvidiaUUID": lease.gpu.uuid,
        "allowToken": lease.token,
    }


def _refuse(refusal: Refusal, headers: dict[str, str]) -> Response:
    if refusal.why in _STATUS:
        if refusal.why == "refused":
            headers[FAULT_HEADER] = "refused"
        return JSONResponse({"detail": refusal.why}, _STATUS[refusal.why], headers)
    headers["X-Approve-Result"] = APPROVE_RESULT[refusal.why]
    return JSONResponse({"left": refusal.left_s, "wait": refusal.wait_s}, 429, headers)


async def _events(scheduler: Scheduler, ticket: Ticket) -> AsyncIterator[str]:
    told = False
    try:
        while not told:
            yield "event: ping\n\n"
            await asyncio.sleep(BETWEEN_EVENTS_S)
            if ticket.fault is not None and ticket.fault.kind == "cut-queue":
                scheduler.withdraw(ticket, "cut-queue")
                raise QueueCut
            await _until_over(ticket)
            if ticket.failed:
                told = True
                yield "event: failed\n\n"
            elif ticket.lease is not None:
                await _until_empty(scheduler, ticket.lease)
                yield f"event: succeeded\ndata: {json.dumps(_granted(ticket.lease))}\n\n"
                told = True
    finally:
        if not told:
            scheduler.withdraw(ticket)


async def _until_over(ticket: Ticket) -> None:
    waited = 0.0
    while waited < PING_EVERY_S and not ticket.failed and ticket.lease is None:
        await asyncio.sleep(0.05)
        waited += 0.05


async def _until_empty(scheduler: Scheduler, lease: Lease) -> None:
    """Wait until the worker that was there before has let go of the GPU."""
    pid, waited = lease.gpu.leaving, 0.0
    if pid is None:
        return
    while waited < EMPTYING_S and not processes.gone(pid):
        await asyncio.sleep(0.02)
        waited += 0.02
    scheduler.begin(lease)
