"""The server's own certificate, for a studio without a proxy before it; SIGHUP reads it again when it was renewed."""

from __future__ import annotations

import logging
import ssl

from studio.errors import ConfigError
from studio.spec import ServerSpec

log = logging.getLogger(__name__)


class Certificate:
    """A certificate and its key, PEM files.

    Args:
        server: Names the files; the key may be in the certificate's file.

    Raises:
        ConfigError: They cannot be used; the sentence says why.
    """

    def __init__(self, server: ServerSpec) -> None:
        self._cert, self._key = server.tls_cert, server.tls_key or None
        self.context = self._read(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        """For the listening socket; TLS 1.2 and later."""

    def renew(self) -> None:
        """Read the files again, for connections to come; if they cannot be used now, the old certificate stays."""
        try:
            self._read(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._read(self.context)
        except ConfigError as error:
            log.error("the certificate is not renewed: %s", error.message)
        else:
            log.info("the certificate was read again")

    def _read(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._cert, self._key, password="")
        except ssl.SSLError as error:
            reason = "they do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "PEM files are wanted"
            raise ConfigError(
                f"The certificate {self._cert} and its key cannot be used: {reason}; the key without a password."
            ) from error
        except OSError as error:
            place = error.filename or f"{self._cert} or {self._key}"
            raise ConfigError(f"The certificate or its key cannot be read: {place}: {error.strerror}.") from error
        return context


def certificate_of(server: ServerSpec) -> Certificate | None:
    """Return the configured certificate, None if there is none.

    Raises:
        ConfigError: It cannot be used, or there is a key without a certificate.
    """
    if server.tls_key and not server.tls_cert:
        raise ConfigError("tls_key needs tls_cert, the certificate that belongs to it.")
    return Certificate(server) if server.tls_cert else None
