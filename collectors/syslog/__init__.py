"""Syslog over UDP and TCP, RFC 5424 and RFC 3164, told apart line by line."""
