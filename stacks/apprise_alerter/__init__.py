"""The alerter flavor ``apprise``: Slack, e-mail, PagerDuty, webhooks and many more by URL, or the log."""
