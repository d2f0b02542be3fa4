"""The RSGI entry point `tds_api.rsgi:app`, which the server runs, set up from the environment."""

from tds_api.rsgi_application import Application
from tds_api.wsgi import app as flask_app

app = Application(flask_app, flask_app.extensions["tds"])
