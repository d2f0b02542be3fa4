"""The shapes of arguments and answers; the description of the API is made from them."""
