"""Reports as files and mails: the tables, CSV, spreadsheets, scheduled mails."""
