"""What people do, one function one transaction's work: called alike by web pages, the API, the CLI and commands."""
