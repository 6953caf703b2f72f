"""A local AWS over HTTP: moto's server for S3, STS, IAM and DynamoDB, our own SageMaker, runtime and CloudWatch.

Started with `python -m aws_emulator`. It imports nothing of this project and nothing of this project imports it:
the product reaches it as it reaches AWS, through an endpoint address.
"""
