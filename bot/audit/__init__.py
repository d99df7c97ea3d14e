"""`unlatch audit`: for whoever checks the record, with no more than the database and a public key."""
