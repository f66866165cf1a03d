"""What stands in front of a final answer, and behind it, in the languages that LLMs are asked in.

Every quantifier over what may repeat (spaces, words) is bounded, so searching takes time linear in the text.
"""

from __future__ import annotations

import re

_STRONG = {
    "en": r"(?:(?:final|correct|right|best|numerical|exact)[ _]?){0,2}answers?(?: choices?"
    r"| options?)?(?: to (?:the|this|your) \w{3,12})?"
    r"|(?:correct|right|best) (?:choice|option)s?|final (?:verdict|result|value|choice|output)|(?:correct "
    r"|right )letter|(?:my )?verdict|tl;dr|ans",
    "de": r"(?:(?:richtige|korrekte|endgültige|finale|beste) )?(?:schluss|end)?antwort(?:option)?(?: auf (?:die"
    r"|diese) frage)?|(?:richtige|korrekte|endgültige) (?:lösung|option)|(?:richtige|endgültige)s? ergebnis",
    "fr": r"(?:(?:bonne|meilleure|juste) )?r[ée]ponse(?: (?:finale|correcte|exacte|juste|attendue))?(?: à (?:la"
    r"|cette) question)?",
    "es": r"(?:mejor )?respuesta(?: (?:final|correcta|exacta|definitiva))?(?: a (?:la|esta) pregunta)?"
    r"|(?:opción|alternativa) correcta",
    "pt": r"(?:melhor )?resposta(?: (?:final|correta|certa|exata|definitiva))?|(?:opção|alternativa) (?:correta"
    r"|certa)",
    "it": r"risposta(?: (?:finale|corretta|esatta|giusta))?|opzione corretta",
    "zh": r"(?:最终|正确|标准|参考|最終|正確|的)?(?:答案|答复)(?:选项|選項)?"
    r"|正确选项|正確選項|(?<![问問回应應])答(?=\s?:)",
    "ja": r"(?:最終的な|正しい|最終)?(?:答え|正答|解答|正解|回答|こたえ|選択肢)|(?<!\w)答(?=\s?:)",
    "ko": r"(?:최종 ?|정확한 ?|올바른 ?)?(?:정답|답안|해답|답변|(?<!\w)답)",
    "ru": r"(?:(?:правильный|верный|окончательный|итоговый|конечный|точный) )?ответ(?:ом)?|правильный вариант",
    "hi": r"(?:सही |अंतिम |अन्तिम |सटीक )?(?:उत्तर|जवाब)|सही विकल्प",
    "ar": r"(?:ال)?(?:إجابة|اجابة|جواب|الإجابة)(?: (?:ال)?(?:صحيحة|نهائية|صحيح|نهائي)){0,2}|الخيار الصحيح",
}
"""Names for the answer."""
_WEAK = {
    "en": r"(?:total|results?|solutions?(?: set)?|roots?|values?|output|conclusion|sum|return value|(?:final"
    r"|total) (?:cost|price|amount|total|count|sum|number))",
    "de": r"(?:end)?ergebnis|lösung|(?:end)?resultat|gesamt(?:kosten|betrag|summe|zahl)",
    "fr": r"résultat(?: final)?|solution|total",
    "es": r"resultado(?: final)?|solución|total",
    "pt": r"resultado(?: final)?|solução",
    "it": r"risultato(?: finale)?|soluzione",
    "zh": r"(?:最终|最終|计算)?(?:结果|結果)|结论|結論|解(?=\s?:)",
    "ja": r"(?:計算)?結果|結論|解(?=[は:])",
    "ko": r"(?:최종 ?)?결과|결론",
    "ru": r"результат|решение|итого?",
    "hi": r"परिणाम|हल|निष्कर्ष",
    "ar": r"(?:ال)?(?:نتيجة|ناتج|حل)(?: النهائية?)?",
}
"""Names for a result, which could be one on the way: these take a value, and no words."""

_IS = (
    r"(?: \([^()\n]{1,40}\))?(?: (?:that )?(?:I|we|you) [a-z ]{2,20}(?= is))?(?:,? (?:then|therefore|thus|hence"
    r"|also|here|now|overall|in this case|in \w{3,12} (?:form|terms)"
    r"|rounded to [a-z0-9 ]{3,30}|donc|por tanto|por lo tanto|portanto),?)? ?(?:"
    r"(?<= )(?:is|are|was|would be|will be|should be|must be|has to be|equals|comes (?:out )?to|turns out to be"
    r"|ist|lautet"
    r"|wäre|beträgt|sind|est|sera|serait|vaut|sont|es|sería|será|son|é|seria|são|è|sarebbe|sono|будет|равен"
    r"|равно|равна"
    r"|составляет|является|है|हैं|होगा|होगी|هي|هو|هى|يساوي|\u2014|\u2013|-)(?!\w)"
    r"|(?:(?<=ответ)|(?<=giving the answer)|(?<=gives the answer)|(?<=get the answer))(?= [*$\\(]{0,4}[-\u2212]?[0-9])"
    r"|of(?= [*$\\(]{0,4}[-\u2212]?[0-9])"
    r"|'s(?= (?:[*$\\(]{0,4}[-\u2212]?[0-9]|[*(]{0,3}[A-J](?!\w)))|≈"
    r"|就是|应该是|應該是|应当是|应为|應為|是|为|為|应选|選|选|は|が|은|는|이(?!다)|가|=|→)"
    r"(?:,? (?:therefore|thus|then|hence|probably|most likely|likely|clearly|simply|indeed|also|obviously"
    r"|definitely|actually|certainly|surely|in fact|of course|going to be|somit|daher|donc|por tanto"
    r"|por lo tanto|portanto|quindi|dunque|entonces|então|wahrscheinlich|alors|, donc),?)?(?: ?:)?"
)
_COLON = r"[*_ \"']{0,6}(?: \([^()\n]{1,40}\))?[*_]{0,3}(?: ?[:\u0903](?![:=])|(?<=\bans)\.(?= ?[-(0-9$A-J]))"


def _any(names: dict[str, str]) -> str:
    return "(?:" + "|".join(names.values()) + ")"


_START = r"(?:(?<![^\W_])|(?<=[\u3040-\u9fff\uac00-\ud7a3]))"
"""No letter before it, but for scripts without spaces."""
_AROUND = (
    r"(?P<around>(?:ist|lautet|beträgt|wäre) (?:die|das) (?:richtige |korrekte |endgültige )?(?:antwort|ergebnis"
    r"|lösung) (?!auf)"
    r"|(?:सही |अंतिम )?(?:उत्तर|जवाब|विकल्प) (?=[^\n।:]{1,40} (?:है|हैं|होगा|होगी)[ ।.]?))"
)
"""The verb stands before the name, or behind the value."""
MARKER = re.compile(
    rf"{_START}(?:{_AROUND}|(?:(?P<strong>{_any(_STRONG)})|(?P<weak>{_any(_WEAK)}))"
    rf"(?:(?P<colon>{_COLON})|[*_]{{0,3}}(?P<is>{_IS})|(?P<heading>[*_ ]{{0,6}}\n)))",
    re.I,
)
"""A name for the answer, and `:`, a verb, or the end of the line."""
STEMS = (
    "answer", "choice", "option", "verdict", "tl;dr", "ans", "total", "result", "solution", "value", "output", "root",
    "conclusion", "sum", "final", "antwort", "ergebnis", "lösung", "resultat", "gesamt", "réponse", "reponse",
    "résultat", "respuesta", "resultado", "solución", "opción", "opção", "alternativa", "resposta", "solução",
    "risposta", "risultato", "soluzione",
    "答", "果", "论", "論", "解", "选", "選", "こたえ", "답", "결과", "결론",
    "ответ",
    "результат", "решение", "итог", "вариант", "उत्तर", "जवाब", "विकल्प", "परिणाम", "हल", "निष्कर्ष",
    "جابة", "جواب", "نتيجة",
    "ناتج", "حل", "الخيار", "pick", "choose", "chose", "select", "going", "go with", "go for", "opt for", "guess",
    "conclude", "think it", "believe it", "that it", " say ", "must be", "leaves", "left with", "should be",
    "has to be", "correct", "corret",
    "right", "most ", "richtig", "korrekt", "best", "appropriate", "bonne",
)  # fmt: skip
"""In lower case; whatever `MARKER`, `PICKED` and `CALLED_CORRECT` find is near one of these."""
CONCLUDES = re.compile(
    r"(?<!\w)(?:(?:so|thus|therefore|hence|consequently|accordingly|finally|in conclusion|overall|altogether"
    r"|in (?:total|all|sum|summary)|as a result|this means(?: that)?|somit|daher|folglich"
    r"|donc|ainsi|por lo tanto|por tanto|entonces|portanto|logo|assim|quindi|dunque|таким образом|следовательно|итак"
    r"|अतः|इसलिए|لذلك|إذن),?\s)|(?:所以|因此|故|したがって|よって|따라서|그러므로|∴|\\therefore)[,、]? ?",
    re.I,
)
FINAL = re.compile(
    r"final|correct|right|best|verdict|endgültig|schluss|endantwort|definitiv|最终|最終|正确|正確|정확|최종|окончат|итогов"
    r"|अंतिम|نهائي",
    re.I,
)
"""What makes it the last word, whatever other answers there are."""
HYPOTHETICAL = re.compile(
    r"\bif\b[^.\n]{0,60}, (?:then )?(?:the )?\Z|(?:\bif|whether|unless|suppos\w{1,4}"
    r"|assum\w{1,4}|\bwenn|\bsi|\bse|если|如果)\s(?:\w{1,6}\s)?\Z",
    re.I,
)

_LETTER = r"[(\[*\"'「]{0,4}(?P<letter>[A-HJ])[)\]*\"'」]{0,4}(?![A-Za-z0-9_']|-[a-z])"
PICKED = re.compile(
    rf"(?<!\w)(?:my\s(?:choice|pick|selection|guess|vote)\s(?:is|would\sbe)|I'm\sgoing\s(?:with|for)|(?:think"
    rf"|believe|guess|say)\s(?:that\s)?it(?:'s|\sis)|(?:I|we)(?:'(?:d|ll)|\swould|\swill|\scan"
    rf"|)?\s(?:(?:therefore|thus|have\sto|must)\s)?(?:pick|choose|chose|select|go\swith"
    rf"|go\sfor|say|answer|opt\sfor|guess|conclude)|(?:that|this|which)\s(?:only\s)?leaves(?:\sus\swith)?|left\swith|(?:it|this)\s(?:must|has\sto|should|would)\sbe)"
    rf"\s(?:(?:the\s)?(?:answer|option|choice)\s)?{_LETTER}"
    rf"|[选選](?:择|擇)?:?\s?{_LETTER.replace('letter', 'letter2')}",
    re.I,
)
"""A choice that is made: `I would pick B`, `故选C`."""
CALLED_CORRECT = re.compile(
    rf"(?<!\w)(?:(?:option|choice|answer|statement|antwort|opción|opção|alternativa|вариант)\s)?{_LETTER}"
    r"(?:[.:]?\s[^.\n:?]{1,60})?\s(?:is|ist|est|es|é|è)\s(?:(?:therefore|also|thus|hence|definitely"
    r"|clearly)\s)?(?:the\s|die\s|la\s|a\s|il\s)?"
    r"(?:most\s(?:accurate|suitable|likely|plausible|probable|reasonable|logical|fitting|relevant)|(?:most\s)?(?:correct|right|best|appropriate|richtig\w{0,2}|korrekt|bonne|correcte|correcta|correta"
    r"|corretta|(?:(?<=the )|(?<=my )|(?<=our ))(?:\w{4,9}\s)?answer))(?!\w)",
    re.I,
)
"""A choice that is called right: `Option C is correct`."""
CALLED_ANSWER = re.compile(
    r"(?<![\w.,$/^=+*-])(?P<value>[*$\\(]{0,4}[-\u2212]?[$€£]?[0-9][0-9,.]{0,20}%?[*$\\)]{0,4}) (?:is|as) (?:therefore "
    r"|thus |also )?"
    r"(?:the|our|my) (?:\w{4,9} )?answer(?!\w)",
    re.I,
)
"""A number that is called the answer: `73 is the correct answer`."""
OPTION = re.compile(
    r"(?:the )?(?:interval|set|point|number|value|list|pair|ordered pair|year) (?=[\[({\\$0-9-])|"
    r"(?:(?:the|la|le|el|o|a|die|der|das|il)\s|l')?(?:(?:option|choice|letter|answer|antwort|buchstabe|lettre"
    r"|réponse|opción|letra"
    r"|opção|alternativa|opzione|lettera|вариант|विकल्प|الخيار)\s?|选项|選項|選択肢|)(?=[(*\"]{0,4}[A-J](?![A-Za-z0-9_']))",
    re.I,
)
"""What may stand before the letter of a choice."""
ENDING = re.compile(
    r"\s?(?:です|である|となります|になります|となる|だ|でした|번?(?:입니다|이다|이에요|예요|이며)|번|है|हैं|होगा|होगी|होते)\s?\Z"
)
"""What a sentence still needs after the value, where the verb comes last."""
DECIMAL_COMMA = re.compile(
    r"antwort|ergebnis|lösung|resultat|réponse|résultat|respuesta|resultado|solución|resposta|solução|risposta"
    r"|risultato"
    r"|soluzione|ответ|результат|решение|итог",
    re.I,
)
"""Languages that write `3,5`."""
ASIDE = re.compile(
    r",? (?:because|since|weil|parce que|porque|puisque|perché|потому что|так как) "
    r"|, (?=(?:the|an?) [a-z])|, (?:including|excluding|not|as|which|where|so|though|although|but|rounded"
    r"|after rounding|after simplif\w*|local time|making|giving"
    r"|meaning|that|corresponding|I (?:think|believe|guess|am)|da|car|denn|was|ce qui|lo que|o que)(?!\w)"
    r"|[,、] ?(?:因为|因為|因|由于|由於|理由|なぜなら)| as (?:shown|above|expected|required|desired|given)(?!\w)"
    r"|(?<=[0-9%a-zA-Z)]) \((?=≈|~|[0-9.,/]{1,12} [a-z]{2,12}\)|(?:rounded|approx\w*|about|i\.e|since|because|as|see"
    r"|not|including|which|confidence"
    r"|note|after|in words|forty|twenty|thirty|fifty|sixty|seventy|eighty|ninety|one|two|three|four|five|six"
    r"|seven|eight|nine|ten)\b)",
    re.I,
)
"""Where what follows a value only comments on it."""
CORRECTION = re.compile(
    r"\bwait\b|correct(?:ion|ed|ing)|mistake|re-?check|double.check|sorry|oops|actually|scratch that|revis"
    r"|instead|\berror\b"
    r"|reconsider|re-?evaluat|recalculat|\bno[,.]|wrong|korrektur|fehler|corrección|correction|erreur|更正|修正|错|訂正"
    r"|정정|ошибк",
    re.I,
)
