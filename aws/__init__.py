"""The only door to AWS: our words in, frozen values out, three kinds of error (see aws.errors)."""
