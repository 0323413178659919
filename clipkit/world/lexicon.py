"""Words of nine languages beside English, as tables in the order of the taxonomy.

Entries are separated by "|"; within an entry forms are separated by spaces, and "_" stands for a space in a form.
Nouns: de, fr, es, it, pt, nl: gender, singular, plural (nl: c common, n neuter). ru: gender, nominative singular,
genitive singular (after 2 to 4), genitive plural (after 5 to 10). zh, ja: counter, noun.
Adjectives (colours, textures, sizes): one form = invariable; two = singular, plural; four = masculine and feminine
singular, then plural. de, nl: the stem, or stem and inflected form. ru: masculine, feminine, neuter, plural
nominative, plural genitive. A leading "+" puts the word on the other side of the noun than the language's habit.
"""

from __future__ import annotations

NOUNS: dict[str, str] = {
    "de": """f Katze Katzen|m Hund Hunde|m Vogel Vögel|m Fisch Fische|f Schildkröte Schildkröten|m Schmetterling Schmetterlinge
        |m Apfel Äpfel|f Banane Bananen|f Kirsche Kirschen|f Weintraube Weintrauben|f Birne Birnen|f Wassermelone Wassermelonen
        |f Karotte Karotten|m Pilz Pilze|m Maiskolben Maiskolben|m Kürbis Kürbisse|f Aubergine Auberginen|m Brokkoli Brokkoli
        |n Auto Autos|m Bus Busse|n Fahrrad Fahrräder|n Flugzeug Flugzeuge|n Boot Boote|f Rakete Raketen
        |f Tasse Tassen|f Lampe Lampen|m Stuhl Stühle|f Uhr Uhren|m Schlüssel Schlüssel|m Regenschirm Regenschirme
        |m Kreis Kreise|n Quadrat Quadrate|n Dreieck Dreiecke|n Sechseck Sechsecke|m Ring Ringe|n Kreuz Kreuze
        |m Baum Bäume|f Tanne Tannen|f Blume Blumen|m Kaktus Kakteen|n Blatt Blätter|f Palme Palmen
        |m Stern Sterne|n Herz Herzen|m Pfeil Pfeile|m Mond Monde|m Blitz Blitze|f Note Noten""",
    "nl": """c kat katten|c hond honden|c vogel vogels|c vis vissen|c schildpad schildpadden|c vlinder vlinders
        |c appel appels|c banaan bananen|c kers kersen|c druiventros druiventrossen|c peer peren|c watermeloen watermeloenen
        |c wortel wortels|c paddenstoel paddenstoelen|c maiskolf maiskolven|c pompoen pompoenen|c aubergine aubergines
        |c broccoli broccoli's
        |c auto auto's|c bus bussen|c fiets fietsen|n vliegtuig vliegtuigen|c boot boten|c raket raketten
        |n kopje kopjes|c lamp lampen|c stoel stoelen|c klok klokken|c sleutel sleutels|c paraplu paraplu's
        |c cirkel cirkels|n vierkant vierkanten|c driehoek driehoeken|c zeshoek zeshoeken|c ring ringen|n kruis kruisen
        |c boom bomen|c spar sparren|c bloem bloemen|c cactus cactussen|n blad bladeren|c palmboom palmbomen
        |c ster sterren|n hart harten|c pijl pijlen|c maan manen|c bliksemschicht bliksemschichten|c muzieknoot muzieknoten""",
    "fr": """m chat chats|m chien chiens|m oiseau oiseaux|m poisson poissons|f tortue tortues|m papillon papillons
        |f pomme pommes|f banane bananes|f cerise cerises|f grappe_de_raisin grappes_de_raisin|f poire poires|f pastèque pastèques
        |f carotte carottes|m champignon champignons|m épi_de_maïs épis_de_maïs|f citrouille citrouilles|f aubergine aubergines
        |m brocoli brocolis
        |f voiture voitures|m bus bus|m vélo vélos|m avion avions|m bateau bateaux|f fusée fusées
        |f tasse tasses|f lampe lampes|f chaise chaises|f horloge horloges|f clé clés|m parapluie parapluies
        |m cercle cercles|m carré carrés|m triangle triangles|m hexagone hexagones|m anneau anneaux|f croix croix
        |m arbre arbres|m sapin sapins|f fleur fleurs|m cactus cactus|f feuille feuilles|m palmier palmiers
        |f étoile étoiles|m cœur cœurs|f flèche flèches|f lune lunes|m éclair éclairs|f note notes""",
    "es": """m gato gatos|m perro perros|m pájaro pájaros|m pez peces|f tortuga tortugas|f mariposa mariposas
        |f manzana manzanas|m plátano plátanos|f cereza cerezas|m racimo_de_uvas racimos_de_uvas|f pera peras|f sandía sandías
        |f zanahoria zanahorias|f seta setas|f mazorca mazorcas|f calabaza calabazas|f berenjena berenjenas|m brócoli brócolis
        |m coche coches|m autobús autobuses|f bicicleta bicicletas|m avión aviones|m barco barcos|m cohete cohetes
        |f taza tazas|f lámpara lámparas|f silla sillas|m reloj relojes|f llave llaves|m paraguas paraguas
        |m círculo círculos|m cuadrado cuadrados|m triángulo triángulos|m hexágono hexágonos|m anillo anillos|f cruz cruces
        |m árbol árboles|m abeto abetos|f flor flores|m cactus cactus|f hoja hojas|f palmera palmeras
        |f estrella estrellas|m corazón corazones|f flecha flechas|f luna lunas|m rayo rayos|f nota notas""",
    "it": """m gatto gatti|m cane cani|m uccello uccelli|m pesce pesci|f tartaruga tartarughe|f farfalla farfalle
        |f mela mele|f banana banane|f ciliegia ciliegie|m grappolo_d'uva grappoli_d'uva|f pera pere|f anguria angurie
        |f carota carote|m fungo funghi|f pannocchia pannocchie|f zucca zucche|f melanzana melanzane|m broccolo broccoli
        |f macchina macchine|m autobus autobus|f bicicletta biciclette|m aereo aerei|f barca barche|m razzo razzi
        |f tazza tazze|f lampada lampade|f sedia sedie|m orologio orologi|f chiave chiavi|m ombrello ombrelli
        |m cerchio cerchi|m quadrato quadrati|m triangolo triangoli|m esagono esagoni|m anello anelli|f croce croci
        |m albero alberi|m abete abeti|m fiore fiori|m cactus cactus|f foglia foglie|f palma palme
        |f stella stelle|m cuore cuori|f freccia frecce|f luna lune|m fulmine fulmini|f nota note""",
    "pt": """m gato gatos|m cachorro cachorros|m pássaro pássaros|m peixe peixes|f tartaruga tartarugas|f borboleta borboletas
        |f maçã maçãs|f banana bananas|f cereja cerejas|m cacho_de_uvas cachos_de_uvas|f pera peras|f melancia melancias
        |f cenoura cenouras|m cogumelo cogumelos|f espiga_de_milho espigas_de_milho|f abóbora abóboras|f berinjela berinjelas
        |m brócolis brócolis
        |m carro carros|m ônibus ônibus|f bicicleta bicicletas|m avião aviões|m barco barcos|m foguete foguetes
        |f xícara xícaras|f luminária luminárias|f cadeira cadeiras|m relógio relógios|f chave chaves|m guarda-chuva guarda-chuvas
        |m círculo círculos|m quadrado quadrados|m triângulo triângulos|m hexágono hexágonos|m anel anéis|f cruz cruzes
        |f árvore árvores|m abeto abetos|f flor flores|m cacto cactos|f folha folhas|f palmeira palmeiras
        |f estrela estrelas|m coração corações|f seta setas|f lua luas|m raio raios|f nota notas""",
    "ru": """f кошка кошки кошек|f собака собаки собак|f птица птицы птиц|f рыба рыбы рыб|f черепаха черепахи черепах
        |f бабочка бабочки бабочек
        |n яблоко яблока яблок|m банан банана бананов|f вишня вишни вишен|f гроздь_винограда грозди_винограда гроздей_винограда
        |f груша груши груш|m арбуз арбуза арбузов
        |f морковка морковки морковок|m гриб гриба грибов|m початок_кукурузы початка_кукурузы початков_кукурузы|f тыква тыквы тыкв
        |m баклажан баклажана баклажанов|m кочан_брокколи кочана_брокколи кочанов_брокколи
        |f машина машины машин|m автобус автобуса автобусов|m велосипед велосипеда велосипедов|m самолёт самолёта самолётов
        |f лодка лодки лодок|f ракета ракеты ракет
        |f чашка чашки чашек|f лампа лампы ламп|m стул стула стульев|m будильник будильника будильников|m ключ ключа ключей
        |m зонт зонта зонтов
        |m круг круга кругов|m квадрат квадрата квадратов|m треугольник треугольника треугольников
        |m шестиугольник шестиугольника шестиугольников|n кольцо кольца колец|m крест креста крестов
        |n дерево дерева деревьев|f ёлка ёлки ёлок|m цветок цветка цветков|m кактус кактуса кактусов|m лист листа листьев
        |f пальма пальмы пальм
        |f звезда звезды звёзд|n сердце сердца сердец|f стрелка стрелки стрелок|f луна луны лун|f молния молнии молний|f нота ноты нот""",
    "zh": """只 猫|只 狗|只 鸟|条 鱼|只 乌龟|只 蝴蝶|个 苹果|根 香蕉|颗 樱桃|串 葡萄|个 梨|个 西瓜
        |根 胡萝卜|个 蘑菇|根 玉米|个 南瓜|个 茄子|棵 西兰花|辆 汽车|辆 公交车|辆 自行车|架 飞机|艘 船|枚 火箭
        |个 杯子|盏 灯|把 椅子|个 时钟|把 钥匙|把 雨伞|个 圆形|个 正方形|个 三角形|个 六边形|个 圆环|个 十字
        |棵 树|棵 冷杉|朵 花|棵 仙人掌|片 叶子|棵 棕榈树|颗 星星|个 爱心|个 箭头|个 月亮|道 闪电|个 音符""",
    "ja": """匹 猫|匹 犬|羽 鳥|匹 魚|匹 亀|匹 蝶|個 りんご|本 バナナ|個 さくらんぼ|房 ぶどう|個 梨|個 スイカ
        |本 にんじん|本 きのこ|本 とうもろこし|個 かぼちゃ|本 なす|個 ブロッコリー|台 車|台 バス|台 自転車|機 飛行機|隻 船|機 ロケット
        |個 カップ|台 ランプ|脚 椅子|個 時計|本 鍵|本 傘|個 円|個 正方形|個 三角形|個 六角形|個 輪|個 十字
        |本 木|本 もみの木|本 花|本 サボテン|枚 葉|本 ヤシの木|個 星|個 ハート|本 矢印|個 月|本 稲妻|個 音符""",
}

# red orange yellow green blue purple pink brown white black | plain striped dotted checkered | small medium large
ADJECTIVES: dict[str, str] = {
    "de": """rot|orangefarben|gelb|grün|blau|violett|rosa rosa|braun|weiß|schwarz
        |einfarbig|gestreift|gepunktet|kariert|klein|mittelgroß|groß""",
    "nl": """rood rode|oranje oranje|geel gele|groen groene|blauw blauwe|paars paarse|roze roze|bruin bruine|wit witte|zwart zwarte
        |effen effen|gestreept gestreepte|gestippeld gestippelde|geruit geruite|klein kleine|middelgroot middelgrote|groot grote""",
    "fr": """rouge rouges|orange|jaune jaunes|vert verte verts vertes|bleu bleue bleus bleues
        |violet violette violets violettes|rose roses|marron
        |blanc blanche blancs blanches|noir noire noirs noires|uni unie unis unies|rayé rayée rayés rayées|à_pois|à_carreaux
        |+petit petite petits petites|de_taille_moyenne|+grand grande grands grandes""",
    "es": """rojo roja rojos rojas|naranja|amarillo amarilla amarillos amarillas|verde verdes|azul azules
        |morado morada morados moradas|rosa
        |marrón marrones|blanco blanca blancos blancas|negro negra negros negras|liso lisa lisos lisas|a_rayas|con_lunares|a_cuadros
        |+pequeño pequeña pequeños pequeñas|mediano mediana medianos medianas|+gran grandes""",
    "it": """rosso rossa rossi rosse|arancione arancioni|giallo gialla gialli gialle|verde verdi|blu|viola|rosa|marrone marroni
        |bianco bianca bianchi bianche|nero nera neri nere|a_tinta_unita|a_righe|a_pois|a_quadri
        |+piccolo piccola piccoli piccole|medio media medi medie|+grande grandi""",
    "pt": """vermelho vermelha vermelhos vermelhas|laranja|amarelo amarela amarelos amarelas|verde verdes|azul azuis
        |roxo roxa roxos roxas|rosa
        |marrom marrons|branco branca brancos brancas|preto preta pretos pretas|liso lisa lisos lisas
        |listrado listrada listrados listradas
        |de_bolinhas|xadrez|+pequeno pequena pequenos pequenas|médio média médios médias|+grande grandes""",
    "ru": """красный красная красное красные красных|оранжевый оранжевая оранжевое оранжевые оранжевых
        |жёлтый жёлтая жёлтое жёлтые жёлтых|зелёный зелёная зелёное зелёные зелёных|синий синяя синее синие синих
        |фиолетовый фиолетовая фиолетовое фиолетовые фиолетовых|розовый розовая розовое розовые розовых
        |коричневый коричневая коричневое коричневые коричневых|белый белая белое белые белых|чёрный чёрная чёрное чёрные чёрных
        |однотонный однотонная однотонное однотонные однотонных|полосатый полосатая полосатое полосатые полосатых|+в_горошек
        |клетчатый клетчатая клетчатое клетчатые клетчатых|маленький маленькая маленькое маленькие маленьких
        |средний средняя среднее средние средних|большой большая большое большие больших""",
    "zh": "红色的|橙色的|黄色的|绿色的|蓝色的|紫色的|粉色的|棕色的|白色的|黑色的|纯色的|带条纹的|带圆点的|带格子的|小|中等大小的|大",
    "ja": """赤い|オレンジ色の|黄色い|緑の|青い|紫の|ピンクの|茶色い|白い|黒い
        |無地の|縞模様の|水玉模様の|チェック柄の|小さな|中くらいの|大きな""",
}

# one (masculine, feminine, neuter where they differ) to ten; two by gender in pt and ru
NUMBERS: dict[str, str] = {
    "de": "ein eine ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn",
    "nl": "een|twee|drie|vier|vijf|zes|zeven|acht|negen|tien",
    "fr": "un une|deux|trois|quatre|cinq|six|sept|huit|neuf|dix",
    "es": "un una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez",
    "it": "un una|due|tre|quattro|cinque|sei|sette|otto|nove|dieci",
    "pt": "um uma|dois duas|três|quatro|cinco|seis|sete|oito|nove|dez",
    "ru": "|два две два|три|четыре|пять|шесть|семь|восемь|девять|десять",
    "zh": "一|两|三|四|五|六|七|八|九|十",
    "ja": "一|二|三|四|五|六|七|八|九|十",
}

# meadow beach sea snow desert night city room
PLACES: dict[str, str] = {
    "de": "auf_einer_Wiese|am_Strand|im_Meer|im_Schnee|in_der_Wüste|bei_Nacht|in_einer_Stadt|in_einem_Zimmer",
    "nl": "in_een_weide|op_een_strand|in_de_zee|in_de_sneeuw|in_de_woestijn|'s_nachts|in_een_stad|in_een_kamer",
    "fr": "dans_un_pré|sur_une_plage|dans_la_mer|dans_la_neige|dans_le_désert|la_nuit|dans_une_ville|dans_une_pièce",
    "es": "en_un_prado|en_una_playa|en_el_mar|en_la_nieve|en_el_desierto|de_noche|en_una_ciudad|en_una_habitación",
    "it": "in_un_prato|su_una_spiaggia|nel_mare|nella_neve|nel_deserto|di_notte|in_una_città|in_una_stanza",
    "pt": "em_um_prado|em_uma_praia|no_mar|na_neve|no_deserto|à_noite|em_uma_cidade|em_uma_sala",
    "ru": "на_лугу|на_пляже|в_море|на_снегу|в_пустыне|ночью|в_городе|в_комнате",
    "zh": "草地上|沙滩上|海里|雪地里|沙漠里|夜里|城市里|房间里",
    "ja": "草原|砂浜|海の中|雪の中|砂漠|夜|街|部屋",
}
SCENES: dict[str, str] = {
    "de": "eine_Wiese|ein_Strand|das_Meer|der_Schnee|die_Wüste|die_Nacht|eine_Stadt|ein_Zimmer",
    "nl": "een_weide|een_strand|de_zee|de_sneeuw|de_woestijn|de_nacht|een_stad|een_kamer",
    "fr": "un_pré|une_plage|la_mer|la_neige|le_désert|la_nuit|une_ville|une_pièce",
    "es": "un_prado|una_playa|el_mar|la_nieve|el_desierto|la_noche|una_ciudad|una_habitación",
    "it": "un_prato|una_spiaggia|il_mare|la_neve|il_deserto|la_notte|una_città|una_stanza",
    "pt": "um_prado|uma_praia|o_mar|a_neve|o_deserto|a_noite|uma_cidade|uma_sala",
    "ru": "луг|пляж|море|снег|пустыня|ночь|город|комната",
    "zh": "草地|沙滩|大海|雪地|沙漠|夜晚|城市|房间",
    "ja": "草原|砂浜|海|雪|砂漠|夜|街|部屋",
}
# shaded sketch pixel pastel blueprint negative (flat is not mentioned)
STYLES: dict[str, str] = {
    "de": "schattierte_Zeichnung|Bleistiftzeichnung|Pixelgrafik|Pastellbild|Blaupause|Fotonegativ",
    "nl": "tekening_met_schaduw|potloodschets|pixelkunst|pasteltekening|blauwdruk|fotonegatief",
    "fr": "dessin_ombré|croquis_au_crayon|pixel_art|dessin_au_pastel|plan_technique|négatif_photo",
    "es": "dibujo_sombreado|dibujo_a_lápiz|arte_de_píxeles|pintura_al_pastel|plano_técnico|negativo_fotográfico",
    "it": "disegno_ombreggiato|schizzo_a_matita|pixel_art|disegno_a_pastello|disegno_tecnico|negativo_fotografico",
    "pt": "desenho_sombreado|esboço_a_lápis|pixel_art|pintura_em_pastel|desenho_técnico|negativo_fotográfico",
    "ru": "рисунок_с_тенями|карандашный_набросок|пиксель-арт|пастель|чертёж|негатив",
    "zh": "带阴影的画|铅笔素描|像素画|粉彩画|蓝图|底片",
    "ja": "陰影のある絵|鉛筆スケッチ|ピクセルアート|パステル画|青写真|ネガ写真",
}
# left right top bottom middle | and | of different sizes | there is | there are | a photo of | with
PHRASES: dict[str, str] = {
    "de": "links|rechts|oben|unten|in_der_Mitte|und|in_verschiedenen_Größen|hier_ist|hier_sind|Foto:|dazu",
    "nl": "links|rechts|bovenaan|onderaan|in_het_midden|en|in_verschillende_maten|er_is|er_zijn|een_foto_van|met",
    "fr": "à_gauche|à_droite|en_haut|en_bas|au_milieu|et|de_tailles_différentes|il_y_a|il_y_a|une_photo_de|avec",
    "es": "a_la_izquierda|a_la_derecha|arriba|abajo|en_el_centro|y|de_distintos_tamaños|hay|hay|una_foto_de|con",
    "it": "a_sinistra|a_destra|in_alto|in_basso|al_centro|e|di_dimensioni_diverse|c'è|ci_sono|una_foto_di|con",
    "pt": "à_esquerda|à_direita|em_cima|embaixo|no_centro|e|de_tamanhos_diferentes|há|há|uma_foto_de|com",
    "ru": "слева|справа|вверху|внизу|в_центре|и|разного_размера|здесь|здесь|на_фото|а_также",
    "zh": "左边|右边|上面|下面|中间|和|大小不一的|有|有|照片：|还有",
    "ja": "左|右|上|下|中央|と|大きさの違う|が見える|が見える|の写真|そして",
}
