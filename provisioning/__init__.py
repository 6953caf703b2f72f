"""Making it so: what tenants should have in AWS, what is there, and what data planes may route to."""
