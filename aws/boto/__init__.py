"""boto3 behind the gateway's words. Reached through aws.connect only."""
