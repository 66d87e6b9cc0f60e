"""What the splitter of prose knows of English, Chinese and Japanese: which words name a person, speak, open a scene, can be drawn."""

from __future__ import annotations

import re

WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # kana, Han, Hangul: scripts in which a name touches its neighbours
LETTER = rf"[^\W{WIDE}]"  # what a word goes on with in all other scripts
CLAUSE_MARKS = ",;:\uff0c\u3001\uff1b\uff1a"  # what parts the clauses of a sentence, in a class of a pattern

# Gender, as far as a description tells it.
FEMALE = frozenset(
    "girl woman women lady she her hers female mother mom mum grandmother grandma granny aunt sister daughter niece wife widow bride queen "
    "princess duchess witch sorceress priestess nun actress waitress heroine mermaid schoolgirl maid goddess hen mare lioness".split()
)
MALE = frozenset(
    "boy man men he him his male gentleman guy lad father dad grandfather grandpa uncle brother son nephew husband widower groom king "
    "prince duke wizard sorcerer priest monk actor waiter hero schoolboy fisherman god rooster stallion lion".split()
)
FEMALE_WIDE = re.compile("[女她妈媽母姐姊妹婆姑娘妇婦嫂]|奶奶|公主|おばあ|おばさん")
MALE_WIDE = re.compile("[男他爸父哥弟爷爺叔伯翁]|王子|少年|国王|彼(?!女)|おじい|おじさん|僕|息子")
# Descriptions that begin with one of these give a character no name: "a red coat" is not "the coat".
NO_BEING = frozenset(
    "beard boots cap cape cloak clothes coat dress eyes face freckles glasses gloves hair hat helmet hood jacket jeans mask moustache nose "
    "pyjamas robe scarf shirt shoes skin skirt suit sweater tail trousers umbrella uniform wings build age style look outfit".split()
)
BEING_WIDE = (
    "小女孩|小男孩|女孩子|男孩子|女孩|男孩|姑娘|女人|男人|女子|男子|老人|老奶奶|老爷爷|老太太|老头|孩子|国王|王后|公主|王子|骑士|巫师|"
    "机器人|小狗|小猫|狐狸|兔子|女の子|男の子|少女|少年|女性|男性|おばあさん|おじいさん|老婆|子ども|子供|騎士|魔女|ロボット|子犬|子猫|"
    "ウサギ|キツネ"
)
ADJECTIVES = "old|young|little|small|big|tall|short|poor|brave|tired|happy|sad|frightened|angry|lonely"

# Pronouns. "They" first: it holds the others in Chinese and Japanese.
PRONOUN = (
    r"(?P<they>\b(?:[Tt]hey|[Tt]hem|[Tt]heir|[Bb]oth of them|[Tt]he (?:two|three) of them)\b|"
    r"(?:[他她][们們])?[两兩二三四](?:[个個]?人)(?!口)|[他她][们們]|彼ら|彼女たち|彼女ら|ふたり)|"
    r"(?P<she>\b(?:[Ss]he|[Hh]er)\b|她|彼女)|"
    r"(?P<he>\b(?:[Hh]e|[Hh]im|[Hh]is)\b|(?<!其)他(?!人)|彼(?![方岸]))"
)
# Behind "her": she is the object, and not the owner of what follows.
BEHIND_OBJECT = frozenset(
    "a about across again all an and around as at away back because before behind but by down for from home how if in inside into like "
    "near next of off on once out outside over so some something than that the there this through to too toward towards under until up "
    "very what when where while who why with without".split()
)

# Between what a character is and its name: "the girl called Mia", "男孩叫小明"; and where commas are around the name.
CALLED = re.compile(r" (?:(?:(?:who|that) (?:was|is) )?(?:called|named) )?|(?:[，,]?名?叫(?:做|作)?|[，,]?名[为為]|[，,]?名字叫)?")
APPOSED = re.compile("[,，] ?")
BEHIND_APPOSED = re.compile(r"[,，.。]|\Z")

# Behind whoever owns something; not "Mia's running". Chinese may leave out its particle ahead of family.
_FAMILY_WIDE = (
    "妈妈|媽媽|爸爸|母亲|母親|父亲|父親|奶奶|爷爷|爺爺|外婆|外公|哥哥|弟弟|姐姐|妹妹|叔叔|阿姨|舅舅|老师|老師|朋友|家人|"
    "母さん|父さん|母|父|兄|姉|妹|弟|祖母|祖父|友達|友だち|先生"
)
OWNING = re.compile(
    r"['\u2019]s\b(?! (?:\w+ing|here|there|not|been|gone|an?|the)\b)|(?<=s)['\u2019](?= )|的(?![确確])|の|"
    rf"(?=(?:{_FAMILY_WIDE}))"
)
OWNED_PERSON = re.compile(
    rf"\s*(?:\w+ ){{0,2}}?(?:{'|'.join(sorted(FEMALE | MALE))}|friends?|teacher|parents|cousin|neighbou?r|family|child|children|baby|twin)\b|"
    rf"お?(?:{_FAMILY_WIDE})"
)

# Speech.
_SAID = (
    r"\b(?:said|says?|asked|asks|cried|cries|shouted|shouts|whispered|whispers|replied|replies|answered|answers|called|calls|yelled|yells|"
    r"muttered|murmured|exclaimed|added|adds|continued|told|tells|laughed|sighed|screamed|begged|explained|agreed|insisted|repeated|"
    r"announced|gasped|growled|grumbled|suggested|warned|offered|demanded|snapped|wondered|thought|sang|sobbed|promised|went on|"
    r"dit|demanda|répondit|cria|sagte|fragte|rief|antwortete|dijo|preguntó|respondió|gritó)\b"
)
_HOW_WIDE = (
    "[低轻輕大高][声聲]?|小[声聲]|笑着|哭着|接着|[继繼][续續]|解[释釋]|[补補]充|命令|催促|安慰|提醒|建[议議]|宣布|嘀咕|嘟囔|嘟哝|咕哝|自言自[语語]|感[叹嘆]"
)
_SAID_WIDE = (
    "(?:言|聞|尋ね|叫|答え|つぶや|呟|ささや|囁|話し|呼び|怒鳴)[ぁ-ん]+|"
    f"(?:{_HOW_WIDE}){{0,2}}(?:(?<![传小])[说說](?!完)|[追询詢反提]?[问問]|[呼惊驚尖大]?喊|叫?嚷|[怒大]?吼|"
    "[呼惊驚尖大]?叫(?=[道着了]|$|[：:，。])|回?答[应應复覆]?(?![案题題])|回[应應]|[应應](?=道|了?一?[声聲])|[讲講])(?:道|着|了|完|[说說])*|"
    f"(?:{_HOW_WIDE}){{0,2}}[笑喝骂罵叹嘆怒喊哭吼应應劝勸]?(?<![知街一大小铁地])道(?=[：:，。])"
)
SAID = re.compile(f"{_SAID}|{_SAID_WIDE}")
# What may stand beside the speaker and the verb of an attribution that says no more than who speaks.
BESIDE_SAID = re.compile(
    r"\b(?:to|at|again|then|and|so|back|out|aloud|together|\w+ly)\b|(?:(?![在到])[\u4e00-\u9fff]){1,4}(?<![草空田工])地|"
    "[连連急]忙|立刻|[马馬]上|[忽突]然|一[声聲句]|[对對向跟地又也就再]|[、はがもとにをって]"
)
WRITTEN = re.compile(
    r"\b(?:sign|letter|note|read|reads|wrote|written|title|titled|called|named|word|words|label)\b|写|寫|书|書|名叫|札|手紙", re.I
)
# The attribution of a quotation that stands ahead of it: "Look!" Mia said. / “快看！”小明说。 Not "Mia said that it was late", and not
# "When Mia called", "Nobody answered", "A dog called Rex ran".
_WORD = rf"{LETTER}+(?:['\u2019-]{LETTER}+)*"
ATTRIBUTION = re.compile(
    rf"\W*(?:{_SAID}(?=[.,;:!?]|\s*\Z| (?:to|in|with|from|at|as|and|{LETTER}+ly)\b)|"
    rf"(?!(?:[Nn]o ?one|[Nn]obody|[Nn]either|[Ww]h(?:at|en|ile|ere|o)|[Aa]s|[Ii]f|[Aa]fter|[Bb]efore|[Bb]ecause)\b|"
    rf"[Aa]n? (?:{_WORD} ){{1,2}}called [A-Z])(?:{_WORD} ){{1,3}}?"
    rf"(?!{_SAID} (?:nothing|that)\b|(?:said|told) (?:{_WORD} ){{1,3}}that\b){_SAID})|"
    rf"[^，。,：:、]{{0,10}}?(?:{_SAID_WIDE})"
)
# What stands beside the name of whom speech addresses: "Tom, look!", "Oh, look, Tom!"
AHEAD_OF_ADDRESSED = re.compile(r"(?:\A|[,.!?\u2026\uff0c\u3001\u3002\uff01\uff1f]|\b(?:oh|hey|dear|hello|hi|no|yes|thanks|you))\s*\Z", re.I)
BEHIND_ADDRESSED = re.compile("\\s*(?:[,!?\u2026\u2014\uff0c\u3001\uff01\uff1f]|(?P<stop>[.\u3002]|\\Z))")

# Scenes: what a sentence that opens one begins with.
_TIMES = "day|morning|afternoon|evening|night|week|month|year|spring|summer|autumn|winter"
SCENE = re.compile(
    rf"(?:(?:(?:one \w+ |(?:the |that |this |one |early |late )*(?:next |following |same |other )?)(?:{_TIMES})|"
    r"(?:a|an|one|two|three|four|five|ten|some|several|many|few|a few|half an) (?:\w+ )?"
    r"(?:minutes?|hours?|days?|weeks?|months?|years?|while) (?:later|after|passed|went)|"
    r"later|meanwhile|afterwards|elsewhere|eventually|soon after|long after|outside|inside|at home|back (?:at|in|home|on)|once upon|"
    r"(?:when|before|after|as) (?:the )?(?:sun|night|morning|evening|darkness|dawn|winter|spring|rain|storm)|"
    r"(?:at|by|before|after|until) (?:dawn|noon|midday|midnight|night|nightfall|dusk|sunset|sunrise|last|breakfast|lunch|dinner|school)|"
    r"in the (?:morning|afternoon|evening|night|end|meantime))\b|"
    "(?:第[二三四五]天|次日|当晚|當晚|那天|当天|有一天|一天|几天|幾天|[一二两三四五六七八九十数幾几多]+[个個]?(?:天|小时|星期|月|年|分钟)[之以]?[后後]|"
    "后来|後來|不久|[过過]了|[早晚]上|清晨|早晨|中午|下午|傍晚|深夜|夜里|半夜|与此同时|與此同時|同时|最后|春天|夏天|秋天|冬天|[这這][时時]|"
    "回到|来到|到了)|"
    "(?:翌朝|翌日|翌年|次の[日朝]|その[後夜日晩頃]|そのころ|一方|やがて|ある[日朝夜晩]|[数何一二三四五]+(?:日|時間|年|週間|か月)後|"
    "しばらく|朝に?|昼に?|夕方|夜に?|真夜中|最後に|春|夏|秋|冬|家に(?:帰|着)|[^。、]{1,8}に着))",
    re.I,
)
OPENERS = re.compile(
    "^(?:(?:and|but|then|so|now|suddenly|however|at last|finally)\\b[, ]+)+|^(?:然后|然後|接着|於是|于是|可是|但是|忽然|突然)，?|"
    "^(?:そして|しかし|でも|すると)、?",
    re.I,
)

# What a picture can show.
ACTION = re.compile(
    r"\b(?:ran|runs?|sat|sits?|stood|stands?|held|holds?|took|takes?|gave|gives?|found|finds?|fell|falls?|went|goes|came|comes?|ate|eats?|"
    r"drank|slept|sleeps?|wrote|drew|built|rode|flew|flies|swam|threw|caught|hid|dug|sang|shook|lay|led|bent|rose|swung|wore|put|woke|met|"
    r"made|left|brought|broke|hung|fought|(?!need|indeed|bed\b|red\b|hundred)[a-z]{2,}ed|"
    r"(?!thing|nothing|something|anything|everything|morning|evening|king\b|during)[a-z]{2,}ing)\b|"
    "[跑走坐站拿看吃喝睡飞飛爬打抱笑哭找跳推拉挖游骑騎举舉捡躲追指拾]|[歩座立持食飲登開泣探押掘泳乗隠]"
)
UNSEEN = re.compile(
    r"\b(?:thought|lived|belonged|knew|know|knows|wondered|remembered|believed|hoped|wished|felt|decided|understood|seemed|loved|hated|"
    r"wanted|had been|would|could|might|should|never|always|because|if|not|\w+n't)\b|[想知觉覺认認]|希望|明白|决定|如果|因为|[思忘願]|気持",
    re.I,
)
PLACE = re.compile(
    r"\b(?:in|on|at|under|over|behind|beside|near|through|across|along|inside|outside|into|around|between|by|among)\b|"
    "[在上下里裡旁边邊前后後]|[でにへ]",
    re.I,
)
# What no prompt ends with, where it was cut within a clause.
DANGLING = re.compile(
    r"(?:[ ,;]+(?:a|an|the|and|or|but|of|to|in|on|at|by|for|from|with|into|under|over|her|his|their|its|that|who|which|as|was|were|is|are|"
    r"had|has))+$",
    re.I,
)

# Between the tags of a group; and the prompts of panels in which there is only talk: of one, of one to others, of nobody known.
AND = {"zh": "和", "ja": "と"}
TALKING = {
    "en": ("{0} talking", "{0} talking to {1}", "people talking"),
    "zh": ("{0}在说话", "{0}在对{1}说话", "人们在说话"),
    "ja": ("{0}が話している", "{0}が{1}に話している", "人々が話している"),
}

# Languages, for the library that splits sentences: by their letters, and in Latin letters by some of their most common words.
SCRIPTS = {
    "ja": "\u3040-\u30ff", "zh": "\u3400-\u9fff", "ko": "\uac00-\ud7af", "ru": "\u0400-\u04ff", "ar": "\u0600-\u06ff",
    "hi": "\u0900-\u097f", "el": "\u0370-\u03ff",
}
COMMON = {
    "en": frozenset("the and was of to her his with they".split()),
    "de": frozenset("der die und das nicht mit ein sie war".split()),
    "fr": frozenset("le les et une des dans elle il est".split()),
    "es": frozenset("el los y una que con las ella del".split()),
    "it": frozenset("il che di e una gli con della era".split()),
    "pt": frozenset("os e uma que com do da não ela".split()),
}
TITLE_END = re.compile(r"\b(?:Mrs?|Ms|Dr|Prof|Capt|Col|Gen|Lt|Sgt|Rev)\.\s*\Z")
ABBREVIATIONS = frozenset("mr mrs ms dr st prof sr jr mt no vs etc capt col gen lt sgt rev hon".split())
