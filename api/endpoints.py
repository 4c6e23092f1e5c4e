"""Every endpoint of the API."""

from api.routes.batch import run_batch
from api.subjects import DECLARED

ENDPOINTS = (*DECLARED, run_batch)
POLICY = {each.name: each.may for each in ENDPOINTS}  # who may do what
