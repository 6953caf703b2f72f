"""Django's PostgreSQL backend, with a cheaper look at kept connections and with statements planned once."""
