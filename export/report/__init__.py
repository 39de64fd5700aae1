"""What an export decided and measured: the record as JSON, and the page that shows it."""
