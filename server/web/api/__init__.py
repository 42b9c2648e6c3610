"""The JSON API under /api/v1: one chapter of routes for each kind of people."""

from __future__ import annotations

from fastapi import APIRouter

from server.web.api.accounts import router as accounts
from server.web.api.channels import router as channels
from server.web.api.checkout import router as checkout
from server.web.api.claims import router as claims
from server.web.api.contacts import router as contacts
from server.web.api.directory import router as directory
from server.web.api.found import router as found
from server.web.api.gateways import router as gateways
from server.web.api.imports import router as imports
from server.web.api.intake import router as intake
from server.web.api.lists import router as lists
from server.web.api.live import router as live
from server.web.api.messages import router as messages
from server.web.api.orders import router as orders
from server.web.api.private_reports import router as private_reports
from server.web.api.private_tags import router as private_tags
from server.web.api.push import router as push
from server.web.api.relays import router as relays
from server.web.api.remedies import router as remedies
from server.web.api.remedy_runs import router as remedy_runs
from server.web.api.service import router as service
from server.web.api.session import router as session
from server.web.api.support import router as support
from server.web.api.tags import router as tags

PREFIX = "/api/v1"


def router() -> APIRouter:
    """Every route of the API."""
    api = APIRouter(prefix=PREFIX)
    for chapter in (
        session,
        accounts,
        tags,
        live,
        claims,
        private_tags,
        relays,
        channels,
        push,
        found,
        orders,
        contacts,
        messages,
        checkout,
        service,
        support,
        lists,
        remedies,
        remedy_runs,
        gateways,
        directory,
        private_reports,
        intake,
        imports,
    ):
        api.include_router(chapter)
    return api
