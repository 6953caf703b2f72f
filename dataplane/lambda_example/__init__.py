"""One tenant's data plane as a Lambda function: an example to copy, tested against the local AWS."""
