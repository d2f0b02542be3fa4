"""The HTTP surface a Zoho client sees: the accounts server and both REST roots."""
