"""What is counted and how: definitions of indicators and the figures of the supervisor's page."""
