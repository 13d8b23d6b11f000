"""Staff: accounts, passwords, sign-ins, throttling of guesses, tokens for machines."""
