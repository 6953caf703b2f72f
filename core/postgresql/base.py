"""What Django asks a backend for by this module's name."""

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Cursor
from psycopg.rows import RowFactory


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to PostgreSQL."""

    def is_usable(self) -> bool:
        """Whether a kept connection still stands; asked before the first statement of each request.

        A server that went away has closed its end, and that can be read from the socket without a word to anybody.
        When there is something to read that may be a farewell or a notice, so then the server is asked.
        """
        if self.connection is None:
            return False
        look = select.poll()
        look.register(self.connection.fileno(), select.POLLIN)
        return not look.poll(0) or super().is_usable()

    def prepared_cursor(self, rows: RowFactory[Any]) -> Any:
        """A cursor whose statements the server binds, and plans once per connection from the fifth run on.

        Django's own sends each statement as a text with its values in it, which is parsed and planned every time.
        Counted, logged and translated into Django's errors as that one's are. jsonb stays text.
        """
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors:
            return self._prepare_cursor(Cursor(self.connection, row_factory=rows))  # type: ignore[attr-defined]
