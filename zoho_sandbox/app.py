"""The Flask application of one sandbox."""

from email.utils import formatdate

from flask import Flask, Response, current_app, request

from zoho_sandbox.api.middleware import answer_errors, note_arrival, note_call
from zoho_sandbox.api.oauth_routes import accounts_routes
from zoho_sandbox.api.routes import PREFIXES, api_root
from zoho_sandbox.control import control_routes
from zoho_sandbox.sandbox import Sandbox


def create_app(sandbox: Sandbox) -> Flask:
    """The accounts server, both API roots and the control interface over one sandbox."""
    app = Flask(__name__, static_folder=None)
    app.extensions["sandbox"] = sandbox
    app.before_request(note_arrival)
    app.before_request(_take_body)
    app.after_request(note_call)
    app.after_request(_tell_time)
    app.register_blueprint(accounts_routes)
    for product in PREFIXES:
        app.register_blueprint(api_root(product))
    app.register_blueprint(control_routes())
    app.register_error_handler(Exception, answer_errors)
    return app


def _tell_time(answer: Response) -> Response:
    """The organisation's clock is the one of its answers."""
    sandbox: Sandbox = current_app.extensions["sandbox"]
    answer.headers["Date"] = formatdate(sandbox.clock.now(), usegmt=True)
    return answer


def _take_body() -> None:
    """Read what was sent even if the answer does not need it: a server drops a connection with an unread body."""
    request.get_data(cache=True)
