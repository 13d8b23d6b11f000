"""The telephone network: ports in our words, the shipped recorder, the carrier's gateway, messages to send."""
