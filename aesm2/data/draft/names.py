"""What the name of a column tells: an outcome, a scenario, a user, an id, a date."""

import re

# Matched against the words of a name, "addToCart_7d" as "add to cart 7d".
OUTCOME = re.compile(
    r"click|\bclk|purchas|\border(s|ed)?\b|\bbuys?\b|bought|\bcart|cart\b|basket|checkout|conver"
    r"|\bpay|\bpaid\b|transact|\bsale\b|\bsold\b|booked|booking|subscri|sign ?up|install"
    r"|download|\bshared?\b|\blikes?\b|\bliked\b|follow|comment|favou?rite|\bsaved?\b|wish ?list"
    r"|\benter(ed)?\b|\bhate|\bforward|\breply|watch|\bplay|\bstay|dwell|\bviews?\b|\bviewed\b|impress"
    r"|\bshown\b|exposed|\bskip|finish|complet|\bcvr\b|\bctr\b|\bctcvr\b|\bopen(ed)?\b|\bleads?\b"
    r"|\blabel\b|\btarget\b|outcome|respon[sd]|churn|revenue|\bgmv\b"
)
FUNNEL = re.compile(
    r"impress|\bshown\b|exposed|\bviewed\b|click|\bclk|\bcart|cart\b|basket|checkout|\border(ed)?\b"
    r"|purchas|\bbuy\b|bought|conver|\bpaid\b|\bpay\b|subscri|booked"
)
SALE = re.compile(
    r"\bsale\b|purchas|\border(ed)?\b|\bbuy\b|bought|conver|\bpaid\b|\bpay\b|\bsold\b|booked"
)
PAST = re.compile(
    r"past|hist|\bprev|\blast\b|\bavg\b|average|\bmean\b|\bprior|recent|lifetime|total|count|\bcnt"
    r"|\bnum\b|\bn\b|\brate\b|\b\d+ ?d(ays?)?\b|week|month|year"
)
SCENARIO = re.compile(
    r"scenario|\bscene|countr|\bmarket|region|\bchannel|\bpage\b|\btab\b|domain|\bsite|surface"
    r"|placement|\bslot\b|vertical|sector|segment|\bstore\b|\bshop\b|\bapp\b|platform|tenant"
    r"|\blocale\b|\bmodule\b|\bentry\b|\bmedium\b|\bbusiness\b"
)
# Of a date; "update" and "weekday" have words of their own.
DATE = re.compile(
    r"\bdate|(?<!up)(?<!di)(?<!li)date\b|\bdays?\b|\btime|timestamp|\bts\b|\bdt\b|\bat\b|created"
)
DURATION = re.compile(r"\b(ms|sec|secs|seconds|min|minutes|hours?)\b|duration|elapsed|\bof\b|since")
ID = re.compile(
    r"\bid\b|(user|item|video|product|order|session|query|search|customer|shop|store|\bad|\bu)id\b"
    r"|uuid|guid|hash|\bkey\b|\bindex\b|\brow\b|\bnr\b|\bno\b"
)
CODE = re.compile(
    r"brand|categor|seller|author|creator|\bcity|\bzip|postal|\bcode|\btag|\btype|device|language"
    r"|genre|merchant|\bshop|\bos\b|\bclass|\bgroup|cluster|bucket|segment"
)
VALUE = re.compile(r"price|revenue|\bamount|\bgmv\b|\bsales\b|\bvalue\b|turnover|\bspend")
KEYS = (  # whose rows stay together in a random split, the best first
    re.compile(r"user|customer|member|visitor|buyer|client|\buid\b|cookie"),
    re.compile(r"session"),
    re.compile(r"search|query|request|\bqid\b"),
)
ONE_VISIT = re.compile(r"session|search|request|impression|\bqid\b|trace|\blog\b|event|transaction")
THING = re.compile(  # a name that is nothing else names things by their id
    r"(user|customer|member|visitor|buyer|client|cookie|item|product|sku|video|article|doc|ad|offer"
    r"|listing|hotel|movie|song|query|session|campaign|publisher)s?"
)
GROUPS = {  # the first that matches; "user_tag" is of the user
    "user": re.compile(r"user|customer|member|visitor|buyer|client|\buid\b|\bage\b|gender|cookie"),
    "query": re.compile(r"query|search|keyword|\bterms?\b|\bqid\b"),
    "item": re.compile(
        r"item|product|\bsku\b|video|\bads?\b|advert|article|\bdoc|\bprice|brand|categor|seller"
        r"|author|creator|\bshop|stock|discount|title|\btag|music|song|movie|offer|listing|hotel"
    ),
    "context": re.compile(
        r"hour|weekday|\bday\b|month|season|device|\bos\b|browser|position|\brank\b|network|weather"
        r"|language|\blocale\b|session|channel|\bpage\b|countr|\bcity|region|platform|referr"
    ),
}
OTHER_GROUP = "other"


def words(name: str) -> str:
    """Spell a name in lower case with spaces between its words: "isClick_7d" as "is click 7d"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[^a-z0-9]+", apart.lower())).strip()


def says(pattern: re.Pattern[str], name: str) -> bool:
    """Whether a column's name tells this."""
    return pattern.search(words(name)) is not None


def group_of(name: str) -> str:
    """The group of features that a name tells, or "other"."""
    return next((group for group, of in GROUPS.items() if says(of, name)), OTHER_GROUP)


def is_date(name: str) -> bool:
    """Whether a name tells of a moment, not of a duration or an hour of the day."""
    return says(DATE, name) and not says(DURATION, name)
