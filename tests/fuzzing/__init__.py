"""Requests of every kind, made from the description of the API, put to a running TDS by everybody and by nobody."""
