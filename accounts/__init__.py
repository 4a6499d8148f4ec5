"""Users, their Google accounts and the tokens: the only code that sees a token."""
