"""`tds demo`: all of TDS against the Zoho stand-in, edited without pause and with everything webhooks do wrong."""
