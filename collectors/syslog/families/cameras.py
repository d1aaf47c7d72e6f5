"""Cameras and recorders. Neither vendor publishes a grammar: they send RFC 3164 or 5424, and the sign is their name.

Nov 24 10:00:00 DS-7616NI-K2 ...        the host is a model, as it is from the factory
1 2026-11-24T10:00:00+07:00 IPC-HFW2431S ... - - ...
"""

from typing import Final

from collectors.syslog.families.family import Family

HIKVISION_HOST: Final = r"i?DS-[2-9A-Z][0-9A-Z]{2}"
DAHUA_HOST: Final = r"DHI?-[A-Z0-9]{3}|IPC-H[A-Z0-9]{3}"

FAMILIES: Final = (
    Family(
        "hikvision",
        "Hikvision cameras and recorders",
        "the host is a model of Hikvision's (DS- or iDS-), the tag names Hikvision, or the SD-ID is its own",
        app=r"(?i:hikvision[\w.-]{0,32})|i?DS-[2-9A-Z][0-9A-Z]{2,32}[\w().-]{0,64}",
        numbers=(39165,),
        message=r"(?i:hikvision)\b|i?DS-\d[0-9A-Z]{3,16}",
    ),
    Family(
        "dahua",
        "Dahua cameras and recorders",
        "the host is a model of Dahua's (DH-, DHI-, IPC-H), the tag names Dahua, or the SD-ID is its own",
        app=r"(?i:dahua[\w.-]{0,32})|(?:DHI?-|IPC-H)[A-Z0-9][\w.-]{2,64}",
        numbers=(1004849,),
        message=r"(?i:dahua)\b|(?:DHI?-|IPC-H)[A-Z0-9]{3,16}",
    ),
)
