"""Guards: may this action run? Small pure functions, one family a file; `judge.py` composes them."""
