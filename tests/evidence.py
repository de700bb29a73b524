"""Reads a machine's evidence as others read it: securesystemslib opens the envelope, in-toto's own library the statement.

    evidence.py ENVELOPE.json KEY.pem

Prints the statement's subjects, one a line. Exit status 1 where the envelope is not signed with that key.
"""

import json
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey


def main(envelope_path, key_path):
    with open(envelope_path, encoding="utf-8") as file:
        envelope = Envelope.from_dict(json.load(file))
    with open(key_path, "rb") as file:
        # The envelope's hint: a key is known by what it is.
        key = SSlibKey.from_crypto(load_pem_public_key(file.read()), keyid=next(iter(envelope.signatures)))
    try:
        envelope.verify([key], 1)
    except VerificationError as error:
        print(error, file=sys.stderr)
        return 1
    if envelope.payload_type != "application/vnd.in-toto+json":
        print(envelope.payload_type, file=sys.stderr)
        return 1
    told = json.loads(envelope.payload)
    message = ParseDict(told, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    for subject in message.subject:
        print(subject.name, " ".join(f"{name}:{value}" for name, value in sorted(subject.digest.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
