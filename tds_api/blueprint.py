"""Blueprints of the API: flask-smorest's, which read a body as JSON by our own rules."""

import json
from typing import Any

import flask_smorest
from flask import Request
from webargs.core import missing
from webargs.flaskparser import FlaskParser, is_json_request

from tds_api.spelling import read_json


class _Parser(FlaskParser):
    """Reads arguments. What is no JSON we take is answered as such."""

    def _raw_load_json(self, req: Request) -> Any:
        body = req.get_data(cache=True) if is_json_request(req) else b""
        try:
            return read_json(body) if body else missing
        except ValueError as error:
            raise json.JSONDecodeError(str(error), " ", 0) from None


class Blueprint(flask_smorest.Blueprint):
    """A blueprint of the API."""

    ARGUMENTS_PARSER = _Parser()
