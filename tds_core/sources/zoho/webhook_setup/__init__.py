"""Set-up of Zoho's webhooks: what is desired, what is there, the plan, and its application."""
