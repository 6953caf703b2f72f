"""The answer in plain words, in English and Japanese; both are written from the same facts."""

from collections.abc import Mapping
from decimal import Decimal

from provisioning.planner.evaluate import Evaluation, requests
from provisioning.planner.options import ApiOption, HostedOption, Option

LANGUAGES = ("en", "ja")

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "load": "At {rps} requests per second (peak {peak}) ",
        "cheapest": "the cheapest is {label}: {usd} USD a year.",
        "hosted": "The cheapest hosting is {label}: {usd} USD a year.",
        "api": "The cheapest API is {label}: {usd} USD a year.",
        "wins": "Hosting costs less than {api} from {volume} requests a year ({share} of what one instance carries).",
        "never": "It never breaks even with {apis}: one instance runs out of capacity first, at {capacity} requests a "
        "year with a context of {context} tokens.",
        "volume": "{api} (which would take {volume} requests a year)",
        "nowhere": "None of the hosted options can carry the load: {why}",
        "nothing": "Nothing can carry the load: {why}",
        "and": " and ",
        "end": " ",
    },
    "ja": {
        "load": "毎秒 {rps} リクエスト（ピーク {peak}）では、",
        "cheapest": "最も安いのは {label} で、年間 {usd} USD です。",
        "hosted": "最も安いホスティングは {label} で、年間 {usd} USD です。",
        "api": "最も安い API は {label} で、年間 {usd} USD です。",
        "wins": "年間 {volume} リクエスト（1 インスタンスの処理能力の {share}）以上で、"
        "ホスティングは {api} より安くなります。",
        "never": "{apis} との損益分岐点には到達しません。コンテキスト {context} トークンでは、1 インスタンスは"
        "年間 {capacity} リクエストで先に処理能力が尽きます。",
        "volume": "{api}（年間 {volume} リクエスト）",
        "nowhere": "どのホスティングもこの負荷を処理できません：{why}",
        "nothing": "この負荷を処理できる選択肢はありません：{why}",
        "and": "、",
        "end": "",
    },
}
_LABELS_JA = (
    (", on demand", "（オンデマンド）"),
    (", 1-year Savings Plan", "（1 年 Savings Plan）"),
    (" (API)", "（API）"),
)


def verdict(result: Evaluation, language: str = "en") -> str:
    """Which option wins, what the others cost, whether the cheaper one can carry it. KeyError: no such language."""
    return WORDS[language]["end"].join(sentences(result, language))


def sentences(result: Evaluation, language: str = "en") -> list[str]:
    """The verdict sentence by sentence; the first one says which option wins."""
    words = WORDS[language]
    why = " ".join(f"{detail} {hint}" for _choice, detail, hint in result.refusals)
    best, hosted = result.cheapest, result.cheapest_hosted
    if best is None:
        return [words["nothing"].format(why=why or "–")]
    scenario = result.scenario
    rate = scenario.requests_per_second
    told = [
        words["load"].format(rps=short(rate), peak=short(rate * scenario.peak_to_average))
        + words["cheapest"].format(label=_label(result, best, language), usd=_usd(result, best))
    ]
    if hosted is None:
        return [*told, words["nowhere"].format(why=why)] if result.hosted else told
    if isinstance(best, ApiOption):
        told.append(words["hosted"].format(label=_label(result, hosted, language), usd=_usd(result, hosted)))
    elif result.cheapest_api is not None:
        api = result.cheapest_api
        told.append(words["api"].format(label=_label(result, api, language), usd=_usd(result, api)))
    return told + _against_apis(result, hosted, language)


def _against_apis(result: Evaluation, hosted: HostedOption, language: str) -> list[str]:
    """From which volume hosting costs less than each API, and which of them it never gets below."""
    words, told, never = WORDS[language], [], []
    for api in result.apis:
        found = result.break_evens[hosted.key, api.key]
        volume = f"{requests(found.requests_per_year or Decimal(0)):,}"
        if found.within_capacity:
            share = f"{found.utilisation or Decimal(0):.0%}"
            told.append(words["wins"].format(api=api.price.name, volume=volume, share=share))
        else:
            never.append(words["volume"].format(api=api.price.name, volume=volume))
    if never:
        capacity = f"{round(hosted.capacity_requests_per_year):,}"
        context = f"{hosted.memory.wish.context_tokens:,}"
        told.append(words["never"].format(apis=words["and"].join(never), capacity=capacity, context=context))
    return told


def _label(result: Evaluation, option: Option, language: str) -> str:
    label = option.label
    if isinstance(option, HostedOption):
        count = option.instances(result.scenario.requests_per_year)
        label = label.replace(
            f" on {option.instance.instance_type}", f" on {count:,} × {option.instance.instance_type}"
        )
    if language == "ja":
        for english, japanese in _LABELS_JA:
            label = label.replace(english, japanese)
        label = label.replace(" on ", " / ")
    return label


def _usd(result: Evaluation, option: Option) -> str:
    return f"{option.annual_usd(result.scenario.requests_per_year):,.0f}"


def short(value: Decimal) -> str:
    """A rate with the digits that matter: 0.95, 12.6, 1,204."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= Decimal("0.1") else f"{value:.2g}"
