"""The words of the simulated shop: what products are called, and what people write, in two languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """One category: its kinds of product (English, Chinese, usual price) and how often it comes back."""

    name: str
    name_zh: str
    brands: tuple[str, str, str, str]  # the last one labels its goods in Chinese
    price_level: tuple[float, float, float, float]  # per brand
    return_factor: float
    nouns: tuple[tuple[str, str, float], ...]
    adjectives: tuple[tuple[str, str], ...]


CATEGORIES = (
    Category(
        "electronics",
        "电子",
        ("Voltaro", "Kestrel", "Nimbus", "星河"),
        (1.0, 1.5, 0.7, 0.9),
        1.2,
        (
            ("wireless headphones", "无线耳机", 89),
            ("smart watch", "智能手表", 159),
            ("phone case", "手机壳", 15),
            ("power bank", "充电宝", 29),
            ("bluetooth speaker", "蓝牙音箱", 59),
            ("desk lamp", "台灯", 35),
            ("mechanical keyboard", "机械键盘", 79),
            ("tablet stand", "平板支架", 19),
        ),
        (
            ("black", "黑色"),
            ("white", "白色"),
            ("foldable", "折叠"),
            ("waterproof", "防水"),
            ("slim", "轻薄"),
        ),
    ),
    Category(
        "fashion",
        "服饰",
        ("Marlow", "Linden & Co", "Okapi", "云裳"),
        (1.0, 1.6, 0.7, 0.8),
        2.0,
        (
            ("cotton t-shirt", "纯棉T恤", 19),
            ("linen dress", "亚麻连衣裙", 59),
            ("denim jacket", "牛仔外套", 79),
            ("running shoes", "跑步鞋", 89),
            ("canvas tote bag", "帆布包", 25),
            ("silk scarf", "丝巾", 35),
            ("leather belt", "皮带", 29),
            ("rain jacket", "雨衣", 49),
        ),
        (("navy", "藏青色"), ("striped", "条纹"), ("oversized", "宽松"), ("beige", "米色"), ("red", "红色")),
    ),
    Category(
        "home",
        "家居",
        ("Hearthwell", "Casa Nova", "Birch", "青禾"),
        (1.0, 1.5, 0.7, 0.9),
        0.8,
        (
            ("ceramic mug", "陶瓷马克杯", 12),
            ("scented candle", "香薰蜡烛", 18),
            ("storage basket", "收纳篮", 22),
            ("cushion cover", "抱枕套", 15),
            ("wall clock", "挂钟", 32),
            ("bath towel", "浴巾", 20),
            ("frying pan", "平底锅", 39),
            ("table runner", "桌旗", 17),
        ),
        (("hand-made", "手工"), ("bamboo", "竹制"), ("grey", "灰色"), ("large", "大号"), ("blue", "蓝色")),
    ),
    Category(
        "beauty",
        "美妆",
        ("Petalique", "Sora Skin", "Dewdrop", "花间"),
        (1.2, 1.6, 0.7, 1.0),
        0.5,
        (
            ("face cream", "面霜", 32),
            ("lip balm", "润唇膏", 8),
            ("shampoo", "洗发水", 14),
            ("sunscreen", "防晒霜", 22),
            ("hand cream", "护手霜", 10),
            ("eye shadow palette", "眼影盘", 28),
            ("facial mask set", "面膜套装", 19),
            ("perfume", "香水", 65),
        ),
        (
            ("rose", "玫瑰"),
            ("fragrance-free", "无香"),
            ("moisturising", "保湿"),
            ("travel size", "旅行装"),
            ("green tea", "绿茶"),
        ),
    ),
    Category(
        "sports",
        "运动",
        ("Stride", "Summit Peak", "Volley", "飞跃"),
        (1.0, 1.5, 0.7, 0.8),
        1.1,
        (
            ("yoga mat", "瑜伽垫", 29),
            ("dumbbell set", "哑铃套装", 59),
            ("water bottle", "运动水壶", 18),
            ("tennis racket", "网球拍", 95),
            ("hiking backpack", "登山包", 75),
            ("skipping rope", "跳绳", 12),
            ("swim goggles", "泳镜", 21),
            ("cycling gloves", "骑行手套", 24),
        ),
        (
            ("lightweight", "轻量"),
            ("non-slip", "防滑"),
            ("orange", "橙色"),
            ("professional", "专业"),
            ("breathable", "透气"),
        ),
    ),
    Category(
        "toys",
        "玩具",
        ("Pebble", "Wonderbox", "Tumbly", "小象"),
        (1.0, 1.4, 0.7, 0.8),
        0.7,
        (
            ("wooden train", "木制火车", 34),
            ("jigsaw puzzle", "拼图", 16),
            ("plush bear", "毛绒小熊", 22),
            ("building blocks", "积木", 39),
            ("board game", "桌游", 29),
            ("kite", "风筝", 14),
            ("toy kitchen", "玩具厨房", 69),
            ("remote control car", "遥控车", 45),
        ),
        (
            ("colourful", "彩色"),
            ("mini", "迷你"),
            ("classic", "经典"),
            ("educational", "益智"),
            ("giant", "巨型"),
        ),
    ),
    Category(
        "books",
        "图书",
        ("Harbour Press", "Quill", "Lantern", "知行"),
        (1.0, 1.2, 0.8, 0.7),
        0.3,
        (
            ("cookbook", "菜谱", 24),
            ("crime novel", "推理小说", 13),
            ("picture book", "绘本", 15),
            ("travel guide", "旅行指南", 18),
            ("history book", "历史书", 22),
            ("notebook", "笔记本", 9),
            ("language course", "语言教材", 28),
            ("wall calendar", "挂历", 12),
        ),
        (
            ("illustrated", "插图版"),
            ("pocket", "口袋版"),
            ("hardcover", "精装"),
            ("new edition", "新版"),
            ("bilingual", "双语"),
        ),
    ),
    Category(
        "grocery",
        "食品",
        ("Meadow Farm", "Terra", "Daily Basket", "老味道"),
        (1.0, 1.5, 0.7, 0.9),
        0.1,
        (
            ("ground coffee", "咖啡粉", 11),
            ("oolong tea", "乌龙茶", 14),
            ("olive oil", "橄榄油", 13),
            ("dark chocolate", "黑巧克力", 5),
            ("mixed nuts", "混合坚果", 9),
            ("rice noodles", "米粉", 4),
            ("honey", "蜂蜜", 10),
            ("biscuit gift box", "饼干礼盒", 19),
        ),
        (
            ("organic", "有机"),
            ("family pack", "家庭装"),
            ("low sugar", "低糖"),
            ("roasted", "烘焙"),
            ("premium", "特级"),
        ),
    ),
    Category(
        "baby",
        "母婴",
        ("Little Nest", "Cloudy", "Snug", "贝贝"),
        (1.0, 1.4, 0.7, 0.9),
        0.5,
        (
            ("baby wipes", "婴儿湿巾", 7),
            ("feeding bottle", "奶瓶", 16),
            ("sleeping bag", "婴儿睡袋", 38),
            ("baby blanket", "婴儿毯", 27),
            ("diaper pack", "纸尿裤", 24),
            ("bath toy set", "洗澡玩具", 15),
            ("bib set", "围兜套装", 12),
            ("stroller organiser", "婴儿车收纳袋", 26),
        ),
        (
            ("soft", "柔软"),
            ("anti-colic", "防胀气"),
            ("yellow", "黄色"),
            ("washable", "可水洗"),
            ("newborn", "新生儿"),
        ),
    ),
    Category(
        "garden",
        "园艺",
        ("Greenleaf", "Orchard", "Sprout", "绿野"),
        (1.0, 1.4, 0.7, 0.8),
        0.6,
        (
            ("plant pot", "花盆", 14),
            ("garden gloves", "园艺手套", 11),
            ("herb seeds", "香草种子", 5),
            ("watering can", "浇水壶", 19),
            ("solar light", "太阳能灯", 24),
            ("pruning shears", "修枝剪", 21),
            ("bird feeder", "喂鸟器", 23),
            ("potting soil", "营养土", 12),
        ),
        (
            ("terracotta", "陶土"),
            ("outdoor", "户外"),
            ("hanging", "悬挂"),
            ("heavy-duty", "耐用"),
            ("small", "小号"),
        ),
    ),
)

QUERIES = {
    "en": ("{noun}", "{adjective} {noun}", "{brand} {noun}", "best {noun}", "{noun} gift", "{noun} sale"),
    "zh": ("{noun}", "{adjective}{noun}", "{brand} {noun}", "{noun}推荐", "{noun} 送礼", "{noun} 特价"),
}

REVIEWS = {
    "en": {
        1: (
            "The {noun} broke after two days, I want my money back.",
            "Terrible quality, this {noun} is nothing like the picture.",
            "Arrived damaged and the {noun} smells awful. Avoid.",
        ),
        2: (
            "Disappointed with the {noun}, it feels cheap for the price.",
            "The {noun} is smaller than described and delivery was slow.",
            "Not what I expected, the {noun} stopped working properly after a week.",
        ),
        3: (
            "The {noun} is okay, does the job, nothing special.",
            "Average {noun}. Fine for the price, packaging could be better.",
            "Mixed feelings: the {noun} looks nice but the finish is uneven.",
        ),
        4: (
            "Good {noun}, well made and quick delivery.",
            "Happy with this {noun}, would buy again.",
            "Nice {noun}, exactly as described, only the box was dented.",
        ),
        5: (
            "Absolutely love this {noun}! Perfect quality.",
            "Best {noun} I have ever owned, highly recommended.",
            "Excellent {noun}, arrived early and my family adores it.",
        ),
    },
    "zh": {
        1: (
            "{noun}用了两天就坏了，我要退款。",
            "质量太差，{noun}和图片完全不一样。",
            "收到时已损坏，{noun}味道很难闻，别买。",
        ),
        2: (
            "对{noun}有点失望，这个价格感觉很廉价。",
            "{noun}比描述的小，物流也慢。",
            "和预期不符，{noun}一周后就不好用了。",
        ),
        3: (
            "{noun}一般般，能用，没什么特别。",
            "普通的{noun}，对得起价格，包装可以更好。",
            "{noun}好看，但是做工不太均匀。",
        ),
        4: (
            "{noun}不错，做工好，发货快。",
            "对这个{noun}很满意，会回购。",
            "{noun}和描述一致，只是盒子压坏了。",
        ),
        5: (
            "太喜欢这个{noun}了！质量完美。",
            "这是我用过最好的{noun}，强烈推荐。",
            "非常棒的{noun}，提前到货，家人都喜欢。",
        ),
    },
}

TICKETS = {
    "where_is_my_order": {
        "en": (
            ("Where is my order?", "My {noun} was due last week and tracking has not moved. Where is it?"),
            ("Delivery late", "I ordered a {noun} and it still has not arrived. When will it come?"),
        ),
        "zh": (
            ("我的订单在哪里？", "我买的{noun}上周就该到了，物流一直没有更新，请问到哪了？"),
            ("配送延迟", "订购的{noun}还没有收到，什么时候能到？"),
        ),
    },
    "return_item": {
        "en": (
            ("How do I return this?", "The {noun} does not suit me, how can I send it back?"),
            ("Return request", "I would like to return the {noun} unopened. Do you pay the postage?"),
        ),
        "zh": (
            ("怎么退货？", "{noun}不合适，请问怎么退回？"),
            ("申请退货", "{noun}没有拆封，想退货，运费谁出？"),
        ),
    },
    "damaged_item": {
        "en": (
            ("Item damaged", "The {noun} arrived broken, I would like a replacement."),
            ("Faulty product", "My {noun} stopped working after a few days. Can I get a new one?"),
        ),
        "zh": (
            ("商品损坏", "{noun}收到时是坏的，希望换一个新的。"),
            ("产品故障", "{noun}用了几天就不能用了，可以换新吗？"),
        ),
    },
    "refund_status": {
        "en": (
            ("Refund not received", "I sent back the {noun} ten days ago, when do I get my money?"),
            ("Refund status", "Has the refund for the {noun} been processed yet?"),
        ),
        "zh": (
            ("退款没有到账", "{noun}十天前就退回了，钱什么时候到？"),
            ("退款进度", "{noun}的退款处理了吗？"),
        ),
    },
    "change_order": {
        "en": (
            ("Change my address", "Please send the {noun} to my office instead, can you change the address?"),
            ("Change order", "Can I change the colour of the {noun} before it ships?"),
        ),
        "zh": (
            ("修改地址", "请把{noun}寄到我公司，可以改地址吗？"),
            ("修改订单", "发货前可以换一下{noun}的颜色吗？"),
        ),
    },
    "invoice": {
        "en": (
            ("Invoice needed", "I need an invoice for the {noun} for my company."),
            ("Receipt missing", "There was no receipt in the parcel with the {noun}. Please e-mail it."),
        ),
        "zh": (
            ("需要发票", "请给{noun}开一张公司发票。"),
            ("没有收据", "装{noun}的包裹里没有收据，请发给我。"),
        ),
    },
    "product_question": {
        "en": (
            ("Question about a product", "Is the {noun} suitable for children, and is it washable?"),
            ("Product details", "What material is the {noun} made of?"),
        ),
        "zh": (("商品咨询", "{noun}适合小孩用吗？可以水洗吗？"), ("商品详情", "{noun}是什么材质的？")),
    },
}

CONTACTS = {
    "en": " You can reach me at {email} or {phone}.",
    "zh": " 请联系我：{email} 或 {phone}。",
}

REFUND_REASONS = {
    "en": ("does not fit", "not as described", "arrived damaged", "changed my mind", "wrong item sent"),
    "zh": ("尺寸不合适", "与描述不符", "收到时已损坏", "不想要了", "发错货"),
}

FIRST_NAMES = {
    "en": (
        "Alice",
        "Ben",
        "Clara",
        "Daniel",
        "Emma",
        "Farid",
        "Grace",
        "Henry",
        "Isla",
        "Jack",
        "Kavya",
        "Liam",
        "Maya",
        "Noah",
        "Olivia",
        "Priya",
        "Ravi",
        "Sofia",
        "Tom",
        "Zoe",
    ),
    "zh": (
        "伟",
        "芳",
        "娜",
        "敏",
        "静",
        "丽",
        "强",
        "磊",
        "洋",
        "艳",
        "勇",
        "军",
        "杰",
        "娟",
        "涛",
        "明",
        "超",
        "霞",
        "平",
        "刚",
    ),
}
LAST_NAMES = {
    "en": (
        "Adams",
        "Brown",
        "Chandra",
        "Davies",
        "Evans",
        "Foster",
        "Green",
        "Hassan",
        "Iyer",
        "Jones",
        "Kumar",
        "Lee",
        "Morgan",
        "Nair",
        "Ong",
        "Patel",
        "Rahman",
        "Smith",
        "Tan",
        "Walker",
    ),
    "zh": (
        "王",
        "李",
        "张",
        "刘",
        "陈",
        "杨",
        "黄",
        "赵",
        "吴",
        "周",
        "徐",
        "孙",
        "马",
        "朱",
        "胡",
        "郭",
        "何",
        "林",
        "高",
        "罗",
    ),
}
