r"""Answer pairs, each a case of its own, with what a mathematician says of them. Read by test_answers.py.

The forms are those of competition and school problems (MATH, GSM8K): what a reference says on the left, what a model may write on
the right. `SAME` are the same answer, `OTHER` are different ones; `COMMON` are a hundred everyday forms of which none may stay undecided.
"""

from __future__ import annotations

SAME: dict[str, list[tuple[str, str]]] = {
    "integers": [
        ("5", "5"), ("18", "18."), ("7", "$7$"), ("-3", "−3"), ("42", r"\boxed{42}"), ("12", r"\(12\)"), ("0", "-0"), ("5", "+5"),
        ("007", "7"), ("100", "1 00".replace(" ", "")), ("3", r"\text{3}"), ("6", "**6**"), ("9", r"\[9\]"), ("81", r"$\boxed{81}$."),
        ("-14", r"{-14}"), ("2", "two"), ("11", "Eleven"), ("16", r"2^4"), ("27", r"3^{3}"), ("1024", "2^10"), ("120", "5!"),
        ("10", r"\binom{5}{2}"), ("15", r"{6 \choose 2}"), ("3", r"\frac{9}{3}"), ("8", r"\sqrt{64}"), ("2", r"\sqrt[3]{8}"), ("5", "|-5|"),
        ("3", r"\log_2 8"), ("2", r"\log_{10} 100"), ("1", r"\ln e"), ("-1", r"\cos \pi"), ("4", r"\lfloor 4.7 \rfloor"), ("20", "12 + 8"),
        ("36", r"4 \cdot 9"), ("36", r"4 \times 9"), ("6", "12/2"), ("25", "(2+3)^2"),
    ],
    "thousands": [
        ("1234", "1,234"), ("10000", "10,000"), ("1,234,567", "1234567"), (r"8{,}424{,}000", "8424000"), (r"135,\!000", "135,000"),
        (r"9,\!000,\!000", "9000000"), (r"12\,345", "12345"), ("1 000 000", "1000000"), ("1,000.50", "1000.5"), (r"2{,}016{,}532", "2,016,532"),
        (r"40,\!320", "8!"), ("-1,500", "-1500"),
    ],
    "decimals": [
        ("0.5", ".5"), ("0.50", "0.5"), ("48.0", "48"), ("10.00", "10"), ("2.50", "5/2"), ("0.125", r"\frac{1}{8}"), ("-0.75", r"-\frac34"),
        ("1.5", r"\frac{3}{2}"), ("3.0", "3"), ("0.333333", r"\frac13"), ("5.", "5"), ("11.25", r"11\frac14"), ("0.2", "1/5"),
    ],
    "fractions": [
        (r"\frac{1}{2}", "1/2"), (r"\frac{1}{2}", "0.5"), (r"\dfrac{3}{4}", r"\frac{3}{4}"), (r"\tfrac34", "3/4"), (r"\frac12", r"\frac{1}{2}"),
        (r"\frac{2}{4}", r"\frac{1}{2}"), (r"-\frac{1}{2}", r"\frac{-1}{2}"), (r"-\frac{1}{2}", r"\frac{1}{-2}"), (r"\frac{98}5", "98/5"),
        (r"\dfrac 3 8", "3/8"), (r"-\frac{1}2", "-1/2"), (r"\frac{14}{3}", r"\cfrac{14}{3}"), (r"\frac78", "⅞"), ("½", "0.5"),
        (r"- \frac 32", "-1.5"), ("6/4", "3/2"), (r"\frac{-7}{23}", r"-\frac{7}{23}"), (r"\frac{ 5 }{ 6 }", r"\frac56"), (r"{1}/{3}", r"\frac13"),
        (r"\frac{1}{\frac{2}{3}}", r"\frac32"), (r"\left(\frac{1}{2}\right)", r"\frac12"),
    ],
    "mixed": [
        (r"1\frac{1}{2}", r"\frac{3}{2}"), ("1 1/2", "1.5"), (r"10\frac{1}{12}", r"\frac{121}{12}"), (r"3 \frac{2}{5}", "17/5"),
        (r"-2\frac{1}{4}", "-9/4"), ("2½", "2.5"), (r"4\,\frac{1}{3}", r"\frac{13}{3}"), (r"1\dfrac34", "1.75"),
    ],
    "repeating": [
        (r"0.\overline{3}", "1/3"), ("0.333...", r"\frac13"), (r"0.1\overline{6}", r"\frac16"), (r"0.\overline{18}", r"\frac{2}{11}"),
        ("0.(3)", "1/3"), (r"2.\overline{45}", r"\frac{27}{11}"), (r"0.1818\ldots", "2/11"), (r"0.\overline{9}", "1"), ("0.666…", "2/3"),
        (r"0.\bar{6}", r"\frac{2}{3}"),
    ],
    "scientific": [
        (r"1.5 \times 10^3", "1500"), ("1.5e3", "1500"), (r"3 \cdot 10^{-2}", "0.03"), ("2.5E-3", "0.0025"), ("6.02×10²³", r"6.02 \times 10^{23}"),
        ("4*10^5", "400000"), (r"10^6", "1000000"), (r"1.2\times10^{4}", "12,000"), ("7 x 10^2", "700"),
    ],
    "surds": [
        (r"\sqrt{8}", r"2\sqrt{2}"), (r"\sqrt2", r"\sqrt{2}"), ("sqrt(2)", r"\sqrt{2}"), ("√3", r"\sqrt 3"), (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
        (r"\frac{3}{\sqrt{10}}", r"\frac{3\sqrt{10}}{10}"), (r"5(\sqrt{3}-1)", r"5\sqrt{3}-5"), (r"-32 + 32i \sqrt{3}", r"32\sqrt{3}i-32"),
        (r"\frac{3 + \sqrt{5}}{2}", r"\frac{\sqrt5+3}{2}"), (r"\sqrt[3]{54}", r"3\sqrt[3]{2}"), (r"8^{1/2}", r"2\sqrt2"), (r"\sqrt{12}+\sqrt{27}", r"5\sqrt3"),
        (r"\frac{4\sqrt{14}}{3}", r"\tfrac{4\sqrt{14}}{3}"), (r"(\sqrt{2})^4", "4"), (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"), ("2*sqrt(3)", r"2\sqrt{3}"),
        (r"\frac{\sqrt{6}}{\sqrt{2}}", r"\sqrt{3}"), (r"\sqrt{\frac{1}{4}}", "1/2"), ("3√5", r"3\sqrt{5}"), (r"12 - 6\sqrt{3}", r"6(2-\sqrt{3})"),
        (r"\sqrt{1{,}000}", r"10\sqrt{10}"),
    ],
    "pi and functions": [
        (r"\frac{\pi}{4}", r"\pi/4"), (r"4 \pi", r"4\pi"), ("2π", r"2\pi"), (r"\frac{640}{3}\pi", r"\frac{640\pi}{3}"), ("3*pi", r"3\pi"),
        (r"\tan 15^\circ", r"2-\sqrt{3}"), (r"\sin 30^\circ", r"\frac12"), (r"\cos\left(\frac{\pi}{3}\right)", "0.5"), (r"\arctan 1", r"\frac{\pi}{4}"),
        (r"\ln 8", r"3\ln 2"), (r"e^{\ln 5}", "5"), (r"\log_4 8", r"\frac32"), (r"\sin^2 x + \cos^2 x", "1"), (r"\frac{9}{\pi^2}(\sqrt{3}+3)", r"\frac{9\sqrt3+27}{\pi^2}"),
        (r"64-16\pi", r"16(4-\pi)"), (r"\ln(6)", r"\ln 2 + \ln 3"), (r"\sin(2x)", r"2\sin x\cos x"), (r"2 - \frac{\pi}{2}", r"\frac{4-\pi}{2}"), (r"\sec x", r"\frac{1}{\cos x}"),
        (r"\sin^{-1} 1", r"\frac{\pi}{2}"), (r"\frac{\ln 9}{\ln 3}", "2"),
    ],
    "algebra": [
        ("x^2+2x+1", "(x+1)^2"), ("2x+3", "3+2x"), ("p - q", "-q+p"), (r"\frac{x^2}{4} - 1", r"\frac{x^2-4}{4}"), ("(t-7)(t+7)", "t^2-49"), ("3x(3x+1)", "9x^2+3x"),
        (r"\frac{1}{x - 1}", r"\frac{-1}{1-x}"), ("2*x*y", "2xy"), ("x^{2}y", "yx^2"), ("37a(a+3)", "37a^2+111a"), (r"x^{-1}", r"\frac1x"), ("n(n+1)/2", r"\frac{n^2+n}{2}"),
        (r"10p^3 \sqrt{3p}", r"10\sqrt{3}p^{7/2}"), ("8y^{11}+6y^9-2y^7", "2y^7(4y^4+3y^2-1)"), ("x**2", "x^2"), ("a/b", r"\frac{a}{b}"), (r"26x^2+30x", "2x(13x+15)"), (r"\sqrt{x^2}", "|x|"),
        (r"e^{x+1}", r"e \cdot e^x"), (r"2^{x+3}", r"8 \cdot 2^x"), (r"\frac{a^2-b^2}{a-b}", "a+b"), (r"\alpha+\beta", r"\beta + \alpha"), ("x_1 + x_2", "x_2+x_1"), ("(x+1)(x+2)", "(x+2)(x+1)"),
        ("f(4 - x)", "f(4-x)"), (r"-13x+3", "3 - 13x"), ("46r", "46 r"), (r"\frac{2x+4}{2}", "x+2"), ("t^7", r"t^{7}"), ("2\\cdot x^3", "2x^3"),
    ],
    "complex": [
        ("3+4i", "4i+3"), ("i", r"\sqrt{-1}"), ("2 - 6i", "2-6i"), (r"e^{i\pi}", "-1"), (r"\frac{1+i}{2}", r"\frac12+\frac12 i"), ("(1+i)^2", "2i"), (r"\dfrac{11}{5} - \dfrac{2}{5}i", r"\frac{11-2i}{5}"),
        (r"\frac{1}{i}", "-i"), ("i^2", "-1"), (r"-\frac{1}{13} - \frac{5}{13}i", r"\frac{-1-5i}{13}"), (r"|3+4i|", "5"),
    ],
    "infinity": [(r"\infty", "infinity"), ("∞", r"\infty"), (r"+\infty", r"\infty"), (r"-\infty", "-∞")],
    "percent": [
        (r"50\%", "50%"), ("75%", "75 percent"), (r"84\%", "84"), ("50%", "0.5"), ("25%", r"\frac14"), (r"12.5\%", "1/8"), ("8 %", r"8\%"), ("33%", "33 pct"), (r"125\%", "1.25"), ("10%", r"10\text{ percent}"),
        (r"17\%", r"$17\%$"), ("5%", "0.05"),
    ],
    "money": [
        ("$5", "5"), (r"\$5.50", "5.5"), (r"\$1,\!657", "1657"), (r"\$ 54.60", "$54.60"), ("$18", "18 dollars"), ("5 dollars", "$5.00"), (r"80\text{ cents}", "$0.80"), ("€20", "20 euros"), ("£3.50", "3.5"),
        (r"\$23{,}000", "$23,000"), ("$70,000", "70000"), (r"\$30", r"\text{30 dollars}"), ("$1.50", "150 cents"), (r"\$306,\!956.63", "306956.63"), ("-$5", "$-5"), ("USD 5".replace("USD ", "US$"), "$5"),
    ],
    "units": [
        (r"5\text{ cm}", "5"), ("5 cm", "5cm"), ("5 cm", r"5\,\text{cm}"), (r"7\text{ hours}", "7 hours"), (r"7\text{ hours}.", "7"), ("2 m", "200 cm"), ("1 hour", "60 minutes"), (r"20\text{ square units}", "20"),
        (r"60\text{ inches}", "5 feet"), (r"5225 \text{ cubic inches}", r"5225\text{ in}^3"), (r"320000 \mbox{ acres}", "320000 acres"), (r"12\pi \text{ cm}^2", r"12\pi"), ("3 km", "3000 meters"), (r"180\text{ miles}", "180"),
        ("10 mph", "10 miles per hour"), (r"24\sqrt{3}\text{ m}", r"24\sqrt3"), ("2.5 kg", "2500 grams"), ("3 apples", "3"), ("12 students", "12"), (r"36\ \mathrm{cm}^{2}", "36 square centimeters"), ("5 ft.", "5 feet"), ("90 seconds", "1.5 minutes"),
        ("1,200 miles", r"1200\text{ mi}"), ("16 sq ft", "16 square feet"), (r"\frac{3}{2}\text{ hours}", "90 minutes"), ("6 oranges", "6 orange"), ("60 km/h", "60 kilometers per hour"), ("8 oz", "0.5 lb"), ("14 days", "2 weeks"), ("2 years", "24 months"),
        ("3 dozen".replace(" dozen", " eggs"), r"3\text{ eggs}"), (r"9\text{ sq. units}", "9 square units"),
    ],
    "degrees": [
        (r"90^\circ", "90"), (r"50^{\circ}", "50°"), (r"108\text{ degrees}", r"108^\circ"), ("45 degrees", "45"), (r"\frac{990}{7}^\circ", r"\frac{990}{7}"), (r"180^\circ", r"\pi"), (r"7.5^\circ", "7.5 degrees"), (r"60^\circ", r"\frac{\pi}{3}"),
        (r"75^\circ, 75^\circ", "75°, 75°"),
    ],
    "choices": [
        (r"\text{(C)}", "C"), ("(C)", "C"), ("C", "C."), ("B)", "(B)"), (r"\text{A}", "A"), (r"\textbf{(D)}", "D"), ("(e)", "E"), ("Option B", "B"), ("(A) 12", "A"), ("(A) 12", "12"), (r"(\text{H})", "H"), (r"\textbf{(B)}\ 20", "B"), ("[D]", "(D)"), ("answer (C)", "C"),
    ],
    "words": [
        (r"\text{Tuesday}", "Tuesday"), ("even", r"\text{even}"), (r"\text{neither}", "Neither"), ("Yes", "yes."), (r"\text{October 30}", "October 30"), ("no solution", r"\emptyset"), ("DNE", "does not exist"), ("undefined", r"\text{undefined}"),
        (r"\text{ellipse}", "an ellipse"), ("the circle", "circle"), ("True", "true"), (r"\text{infinitely many}", "infinitely many solutions"), ("none", "no solutions"), (r"\text{Evelyn}", "Evelyn"), (r"\text{even function}".replace(" function", ""), '"even"'), ("all real numbers", r"\mathbb{R}"),
        ("∅", r"\{\}"), (r"\text{June 20}", "June 20"),
    ],
    "lists": [
        ("2, 3", "3, 2"), ("7,-2", "-2, 7"), (r"6, 8\text{, and }10", "6, 8, 10"), (r"-12 \text{ or } -30", "-30, -12"), ("1 and 2", "1, 2"), ("-11, -1, 1, 11", "-1,1,-11,11"), (r"1 + \sqrt{2}, 1 - \sqrt{2}", r"1\pm\sqrt{2}"), (r"\pm 3", "3, -3"),
        (r"i \sqrt{3}, -i \sqrt{3}", r"\pm i\sqrt3"), (r"\text{A, D, F, G, H}", "A,D,F,G,H"), (r"\text{Softball, Kickball, Picnic}", "Softball, Kickball, Picnic"), ("0;-3", "0, -3"), (r"2 - 9i, -2 + 9i", r"\pm(2-9i)"), ("81, 256", "256 and 81"),
        (r"10^\circ, 50^\circ, 54^\circ", "54, 10, 50"), (r"\text{H, E}", "H,E"), (r"\frac12, \frac13", "0.5, 1/3"), ("x = 2, 3", "2, 3"), ("±5", "5 or -5"), (r"\frac{-3\pm\sqrt{5}}{2}", r"\frac{-3+\sqrt5}{2}, \frac{-3-\sqrt5}{2}"), ("+/- 4", "4, -4"),
    ],
    "tuples": [
        ("(10, 0)", "(10,0)"), (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)"), ("(7,5)", r"\left(7, 5\right)"), (r"(8\sqrt3, 14, 2, 4)", r"(8\sqrt{3},14,2,4)"), ("(0.5,0.6)", r"\left(\frac12,\frac35\right)"), ("(-4,-4)", "( -4 , -4 )"), (r"\langle 1, 2\rangle", "(1,2)"),
        (r"\left( 4 \sqrt{3}, \frac{\pi}{6} \right)", r"(\sqrt{48}, \frac{\pi}{6})"), ("(a +b, b)", "(b+a, b)"), ("(1,2)", "1, 2"), (r"(3+\sqrt{5},-1)", r"(\sqrt5+3, -1)"), ("((1,2),(3,4))", "((1, 2), (3, 4))"), ("(1,2), (3,4)", "(3,4), (1,2)"), ("(x,y) = (1,2)", "(1, 2)"),
        ("x=1, y=2", "y = 2, x = 1"), ("AB=9, CD=4", "CD = 4, AB = 9"), ("(6,31,-1)", "(6, 31, -1)."),
    ],
    "sets": [
        (r"\{1, 2, 3\}", r"\{3,2,1\}"), ("{1,2}", r"\{1,2\}"), (r"\{1,2\}", "1, 2"), (r"\{1,1,2\}", r"\{1,2\}"), (r"\left\{\frac12, 3\right\}", r"\{3, 0.5\}"), (r"\{5\}", "5"), (r"\{-2, 2\}", r"\pm 2"), (r"x \in \{1,2\}", r"\{1,2\}"), (r"\{(1,2),(3,4)\}", r"\{(3,4),(1,2)\}"),
        (r"\lbrace 1, 2\rbrace", r"\{1,2\}"),
    ],
    "intervals": [
        (r"(-\infty, 3]", r"(-\infty,3]"), ("[2,5)", r"\left[2,5\right)"), (r"(-\infty, -1) \cup (4, \infty)", r"(4,\infty)\cup(-\infty,-1)"), (r"[-6,\infty)", r"x \ge -6"), ("(1,3)", "1 < x < 3"), ("[1,2]", r"x \in [1,2]"), (r"(-\infty,2)\cup(2,\infty)", r"x \ne 2"), (r"\mathbb{R} \setminus \{2\}", r"(-\infty,2)\cup(2,\infty)"),
        (r"\left(-\infty, -\frac{1}{2}\right]", r"(-\infty,-0.5]"), ("]1,2[", "(1,2)"), (r"(-\infty,\infty)", r"\mathbb{R}"), ("[0,1) ∪ [1,2]", "[0,2]"), (r"[\sqrt{4}, 5]", "[2,5]"), (r"(3, 5]", r"3<x\leq5"), (r"x\in(-\infty,3)\cup(5,\infty)", "x<3 or x>5"), (r"\left(\frac{3}{5},\frac{8}{3}\right]", r"(3/5, 8/3]"),
        (r"\{x \mid x > 2\}", r"(2,\infty)"), (r"(-\infty, 0] U [1, \infty)", r"(-\infty,0]\cup[1,\infty)"), (r"[-1,1]", r"|x| \le 1"), ("[12,28]", "[12, 28]"), (r"(0,\infty)", r"(0,+\infty)"), (r"[2,\infty)", r"2 \le x"),
    ],
    "inequalities": [
        ("x > 3", "3 < x"), (r"x \geq 2", "x>=2"), (r"x \leq 2", r"2 \ge x"), ("2x < 4", "x < 2"), ("-x > 3", "x < -3"), (r"1 \le x \le 2", r"2 \ge x \ge 1"), ("x<1 or x>2", "x > 2 or x < 1"), ("x + y > 2", "2 < y + x"), (r"x \neq 0", "x != 0"), ("x^2 < 4", "-2 < x < 2"), ("2x+2y<4", "x+y<2"),
    ],
    "equations": [
        ("y = 2x + 3", "2x - y + 3 = 0"), ("y=10x-4", "y = -4 + 10x"), ("x=5", "5"), ("q = 3", "3"), (r"b=\frac{1}{49}", "1/49"), ("x = 4", "4 = x"), ("y = 2x+3", "2x+3"), ("f(x) = 2x + 1", "2x+1"), ("5x - 11y + z - 17 = 0", "5x + z = 11y + 17"), ("x^2+y^2=25", "y^2 + x^2 - 25 = 0"), ("2x+4y=6", "x+2y=3"), ("xy = 1", r"y = \frac{1}{x}"),
        ("x = 2 or x = 3", "2, 3"), ("x^2 = 4", r"x = \pm 2"), (r"\theta = 30^\circ", r"30^\circ"), ("AB = 9", "9"), (r"f(x)=x^2", r"y = x^2"), ("K=8", "8"), ("(x-1)^2+(y+2)^2=9", "x^2 - 2x + y^2 + 4y - 4 = 0"), ("y - 3 = 2(x - 1)", "y = 2x + 1"), (r"\frac{x}{2}+\frac{y}{3}=1", "3x+2y=6"), ("r=6.2", r"r = \frac{31}{5}"), ("x = 3 = 6/2", "3"),
        ("f^{-1}(x) = x - 1", "x-1"), ("a_n = 2n", "2n"),
    ],
    "matrices": [
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"), (r"\begin{pmatrix} -4 \\ -12 \end{pmatrix}", r"\begin{pmatrix}-4\\-12\end{pmatrix}"), (r"\begin{pmatrix} 33/10 \\ -11/10 \end{pmatrix}", r"\begin{pmatrix} 3.3 \\ -1.1 \end{pmatrix}"),
        (r"\begin{pmatrix} 4/13 & -6/13 \\ -6/13 & 9/13 \end{pmatrix}", r"\frac{1}{13}\begin{pmatrix} 4 & -6 \\ -6 & 9 \end{pmatrix}"), ("[[1,2],[3,4]]", r"\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}"), (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1,2)"),
        (r"\left(\begin{array}{cc}1&0\\0&1\end{array}\right)".replace(r"\left(", "").replace(r"\right)", ""), r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}"), (r"\begin{bmatrix} \sqrt{4} & 1 \end{bmatrix}", r"\begin{bmatrix} 2 & 1 \end{bmatrix}"), (r"\begin{pmatrix}-6 \\ 8 \end{pmatrix}", r"2\begin{pmatrix}-3 \\ 4 \end{pmatrix}"),
        (r"-\begin{pmatrix} 1 \\ -1 \end{pmatrix}", r"\begin{pmatrix} -1 \\ 1 \end{pmatrix}"),
    ],
    "bases": [("203_7", "203_{7}"), (r"2104_5", r"2104_{5}"), ("24_{10}", "24"), ("1010_2", "10_{10}"), (r"861_{12}", "861_{12} "), ("12_5", "12 base 5"), ("FF_{16}", "255")],
    "ratios and times": [("3:1", "3 : 1"), ("3:1", "6:2"), (r"8\!:\!34 \text{ p.m.}", "8:34 PM"), (r"05\!:\!00", "5:00"), ("2:3", "2/3"), ("1:2:3", "2:4:6"), (r"3\colon 4", "3:4")],
}  # fmt: skip

OTHER: dict[str, list[tuple[str, str]]] = {
    "integers": [
        ("5", "6"), ("18", "-18"), ("42", "24"), ("0", "1"), ("100", "1000"), ("7", "77"), ("16", "2^5"), ("120", "6!"), ("3", r"\sqrt{3}"), ("2", "three"), ("1", "l0"), ("12", "21"), ("10", r"\binom{5}{3} + 1"), ("-1", "1"), ("2024", "2025"),
    ],
    "numbers": [
        ("1,234", "1235"), ("1,000", "1"), ("0.5", "0.05"), ("0.333", r"\frac13"), ("3.14", r"\pi"), ("0.33", "1/3"), (r"\frac{22}{7}", r"\pi"), ("1.41", r"\sqrt{2}"), (r"\frac12", r"\frac13"), (r"\frac{2}{3}", r"\frac{3}{2}"), (r"-\frac12", r"\frac12"), (r"1\frac{1}{2}", r"\frac12"), (r"2\frac13", r"\frac23"),
        ("1.5", "15"), (r"0.\overline{3}", "0.3"), (r"0.\overline{18}", "0.18"), ("1.5e3", "150"), (r"1.5\times 10^3", r"1.5\times 10^4"), (r"3\cdot10^{-2}", "0.3"), ("0.1234567", "0.1234568"), ("2.5", "5.2"), (r"\frac{98}{5}", "19"), ("1000000", "1000001"), ("99999999999999999999", "99999999999999999998"),
    ],
    "surds": [
        (r"2\sqrt{3}", r"3\sqrt{2}"), (r"\sqrt{2}", r"\sqrt{3}"), (r"\sqrt{8}", r"\sqrt{2}"), (r"\sqrt[3]{8}", r"\sqrt{8}"), (r"1+\sqrt{2}", r"1-\sqrt{2}"), (r"\frac{\sqrt3}{3}", r"\frac{\sqrt3}{2}"), (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5}"), (r"5\sqrt{3}-1", r"5(\sqrt3-1)"), (r"12 - 6\sqrt{3}", r"12+6\sqrt3"), (r"\sqrt{53}", "7.28"),
    ],
    "functions": [
        (r"\frac{\pi}{4}", r"\frac{\pi}{3}"), (r"4\pi", r"4\pi^2"), (r"2\pi", r"\pi"), (r"\sin x", r"\cos x"), (r"\ln 2", r"\log_{10} 2"), (r"e^2", "2e"), (r"\tan 15^\circ", r"2+\sqrt3"), (r"\sin 2x", r"2\sin x"), (r"\cos^2 x", r"\cos x^2"), (r"\log_2 8", r"\log_8 2"), (r"64-16\pi", r"16\pi-64"), (r"\sin^2 y", r"\sin^3 y"),
    ],
    "algebra": [
        ("x^2+2x+1", "x^2+1"), ("2x+3", "2x-3"), ("p - q", "q - p"), ("x", "y"), ("2x", "x^2"), ("(x+1)^2", "x^2+1"), (r"\frac{1}{x-1}", r"\frac{1}{1-x}"), ("a/b", "b/a"), ("2xy", "2x+y"), ("x^3", "3x"), (r"\sqrt{x^2}", "x"), ("n(n+1)/2", "n(n-1)/2"), ("46r", "46"), ("2B", "2b"), ("x+1", "1"), ("-x", "x"), ("3x^2", "(3x)^2"), ("a+b", "ab"), ("e^x", "x^e"), ("x_1", "x_2"),
        ("(t-7)(t+7)", "(t-7)^2"), (r"\frac{a}{b+c}", r"\frac{a}{b}+c"), ("2^{x}", "x^{2}"),
    ],
    "complex": [("3+4i", "3-4i"), ("i", "-i"), ("2i", "2"), ("18+10i", "10+18i"), ("(1+i)^2", "2"), ("i", "1"), (r"e^{i\pi}", "1"), (r"-7 - 9i", "-7+9i")],
    "infinity": [(r"\infty", r"-\infty"), (r"\infty", "0"), (r"\infty", "1000000"), (r"-\infty", "-1")],
    "percent and money": [
        ("50%", "5%"), (r"84\%", "48%"), ("50%", "0.05"), ("25%", r"\frac12"), ("$5", "$6"), (r"\$5.50", "$55"), ("$5", "€5"), ("£10", "$10"), (r"80\text{ cents}", "$80"), ("$18", "16 dollars"), ("1%", "100%"), (r"\$1,\!657", "1.657"), ("$0.50", "5 cents"),
    ],
    "units": [
        (r"5\text{ cm}", r"5\text{ m}"), ("5 cm", "6 cm"), ("2 hours", "2 minutes"), ("5 feet", "5 inches"), (r"12\text{ cm}^2", r"12\text{ cm}"), (r"20\text{ square units}", "21"), ("5 kg", "5 meters"), ("3 apples", "4 apples"), ("60 mph", "60 km/h"), ("1 hour", "30 minutes"), (r"90^\circ", "45°"), (r"90^\circ", r"\pi"), ("5 gallons", "5 liters"), ("10 days", "10 weeks"), (r"36\text{ cm}^2", r"36\text{ cm}^3"),
        ("7 hours", "8"), (r"60^\circ", r"\frac{\pi}{6}"), ("3 km", "300 m"), ("5 dollars", "5 feet"),
    ],
    "choices and words": [
        ("A", "B"), ("(C)", "(D)"), (r"\text{(C)}", "B"), ("(A) 12", "(B) 12"), ("Option A", "C"), (r"\text{Tuesday}", "Wednesday"), ("even", "odd"), ("yes", "no"), ("True", "False"), (r"\text{neither}", "both"), ("October 30", "October 31"), ("no solution", "0"), ("DNE", "0"), ("Tuesday", "2"), (r"\text{ellipse}", "circle"), ("all real numbers", "no solution"), (r"\text{Evelyn}", "Briana"), ("undefined", "1"), ("A", "5"), ("hyperbola", "3"), ("infinitely many", "1"),
        (r"\text{June 20}", "20"), ("(B)", "12"),
    ],
    "lists": [
        ("2, 3", "2, 4"), ("2, 3", "2"), ("1, 2, 3", "1, 2"), ("7,-2", "-7, 2"), (r"\pm 3", "3"), (r"1\pm\sqrt2", r"1\pm\sqrt3"), (r"-12 \text{ or } -30", "-12"), (r"\text{A, D, F}", "A, D, G"), ("81, 256", "81, 265"), ("x = 2 or x = 3", "x = 2"), (r"10^\circ, 50^\circ", r"10^\circ, 60^\circ"), (r"\text{Softball, Kickball}", "Softball, Picnic"), ("1, 1, 2", "1, 2, 2"),
    ],
    "tuples and sets": [
        ("(1,2)", "(2,1)"), ("(10, 0)", "(0, 10)"), ("(1,2)", "(1,2,3)"), (r"(3,\frac{\pi}{2})", r"(3,\frac{\pi}{3})"), (r"\{1,2\}", r"\{1,3\}"), (r"\{1,2,3\}", r"\{1,2\}"), ("(1,2)", "3"), (r"\{1,2\}", "(1,2)"), ("(1,2), (3,4)", "(1,2), (4,3)"), ("x=1, y=2", "x=2, y=1"), ("(-4,-4)", "(-4,4)"), (r"\{5\}", "6"), (r"\emptyset", r"\{0\}"), ("(0.5,0.6)", "(0.6,0.5)"), ("((1,2),(3,4))", "((1,2),(4,3))"),
    ],
    "intervals": [
        ("[1,2]", "(1,2)"), ("[1,2)", "(1,2]"), (r"(-\infty,3]", r"(-\infty,3)"), (r"(-\infty,3)", r"(3,\infty)"), ("(1,3)", r"1 \le x \le 3"), (r"(-\infty,-1)\cup(4,\infty)", r"(-\infty,-1)\cup(5,\infty)"), (r"(-\infty,2)\cup(2,\infty)", r"(-\infty,\infty)"), (r"[-6,\infty)", r"x > -6"), ("[0,2]", "[0,1]"), (r"\mathbb{R}\setminus\{2\}", r"\mathbb{R}\setminus\{3\}"), (r"(-\infty,\infty)", r"(0,\infty)"), ("[12,28]", "[12,29]"), (r"x \ne 2", r"x \ne 3"),
    ],
    "inequalities": [("x > 3", "x < 3"), (r"x \ge 3", "x > 3"), ("x > 3", "y > 3"), ("2x < 4", "x < 4"), ("-x > 3", "x > -3"), ("x<1 or x>2", "1<x<2"), ("x > 3", "x = 3"), ("x + y > 2", "x + y < 2"), ("x^2<4", "x<2")],
    "equations": [
        ("y = 2x + 3", "y = 2x - 3"), ("y=10x-4", "y = 4x - 10"), ("x=4", "y=4"), ("x=5", "6"), ("y = 2x+3", "2x-3"), ("x^2+y^2=25", "x^2+y^2=5"), ("2x+4y=6", "x+2y=4"), ("xy=1", "y = x"), ("x^2=4", "x=2"), ("f(x)=2x+1", "x+1"), ("5x - 11y + z - 17 = 0", "5x - 11y + z + 17 = 0"), ("AB = 9", "8"), ("x^2 = 4", "4"), ("x^2 - 5x + 6 = 0", "x = 2"), ("y = x^2", "y = x^3"), ("y = -3x + 30", "y = 3x + 30"),
    ],
    "matrices": [
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}"), (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"), (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 & 3 \end{pmatrix}"), (r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}", r"\begin{pmatrix} 1 & 0 \\ 0 & -1 \end{pmatrix}"), (r"\frac12\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "3"), (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1,3)"),
    ],
    "bases, ratios, times": [("203_7", "204_7"), ("203_7", "203_8"), ("1010_2", "1010_{10}"), ("3:1", "1:3"), ("3:1", "3:2"), (r"8\!:\!34 \text{ p.m.}", "8:34 a.m."), (r"05\!:\!00", "6:00"), ("2:3", "3/2"), ("12_5", "12_6")],
}  # fmt: skip

COMMON: list[tuple[str, str, bool]] = [
    ("72", "72", True), ("10", "$10$", True), ("5", r"\boxed{5}", True), ("624", "624.", True), ("35", "53", False), ("-8", "−8", True), ("1,234", "1234", True), ("70000", "$70,000", True), ("3", "3.0", True), ("0.5", "1/2", True),
    (r"\frac{1}{2}", "0.5", True), (r"\frac{3}{4}", r"\dfrac{3}{4}", True), (r"\frac{3}{4}", "0.75", True), (r"\frac{2}{3}", "0.67", False), (r"\frac56", r"\frac{5}{6}", True), (r"-\frac{1}{2}", r"\frac{-1}{2}", True), (r"\frac{7}{3}", r"2\frac{1}{3}", True), ("1 1/2", "3/2", True), (r"\frac{10}{4}", "2.5", True), ("3/5", "5/3", False),
    (r"\sqrt{2}", r"\sqrt 2", True), (r"2\sqrt{3}", r"\sqrt{12}", True), (r"\sqrt{50}", r"5\sqrt{2}", True), (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2", True), (r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}", True), (r"3\sqrt{5}", r"5\sqrt{3}", False), (r"\pi", "3.14", False), (r"2\pi", "2 \\pi", True), (r"\frac{\pi}{6}", "π/6", True), (r"16\pi", r"\pi \cdot 16", True),
    ("x^2-1", "(x-1)(x+1)", True), ("2x+1", "1+2x", True), ("x+1", "x-1", False), ("3x^2", "3x^{2}", True), (r"\frac{x}{2}", "x/2", True), ("ab", "ba", True), ("x^2+4x+4", "(x+2)^2", True), ("x(x+1)", "x^2+x", True), ("4x", "4y", False), (r"\frac{1}{x}", "x^{-1}", True),
    ("x=3", "3", True), ("x = 3", "x=4", False), ("y=2x+1", "y = 1 + 2x", True), ("y = 2x+1", "2x - y = -1", True), ("x=2", "2=x", True), ("(1,2)", "(1, 2)", True), ("(1,2)", "(2,1)", False), ("(3,-4)", r"\left(3,-4\right)", True), ("(1,2,3)", "(1,2)", False), (r"\left(\frac12,1\right)", "(0.5,1)", True),
    ("1,2", "2,1", True), ("1, 2, 3", "3, 2, 1", True), ("2 and 5", "2, 5", True), ("1,2", "1,3", False), (r"\pm 2", "2,-2", True), (r"\{1,2\}", r"\{2,1\}", True), (r"\{1,2\}", "1,2", True), ("[0,1]", "(0,1)", False), ("[0,1]", r"\left[0,1\right]", True), (r"(0,\infty)", "x>0", True),
    (r"(-\infty,2]", r"x\le2", True), (r"(-\infty,1)\cup(3,\infty)", r"(-\infty, 1) \cup (3, \infty)", True), ("1<x<2", "(1,2)", True), ("x>2", "x>3", False), (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}", True), (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}", False), ("50%", r"50\%", True), ("50%", "0.5", True), (r"20\%", "20", True), ("30%", "40%", False),
    ("$5", r"\$5", True), ("$5", "5 dollars", True), ("$12.50", "12.5", True), ("$3", "$4", False), ("5 cm", "5", True), (r"10\text{ meters}", "10 m", True), ("5 cm", "5 m", False), ("12 inches", "1 foot", True), ("60 minutes", "1 hour", True), ("24 square units", "24", True),
    (r"90^\circ", "90", True), ("45°", "45 degrees", True), (r"30^\circ", r"60^\circ", False), ("A", "(A)", True), (r"\text{(B)}", "B", True), ("C", "D", False), ("3+4i", "4i + 3", True), ("2i", "-2i", False), (r"\text{yes}", "Yes", True), ("Monday", "Friday", False),
    (r"\infty", "∞", True), ("no solution", "No solution.", True), ("2^5", "32", True), ("3!", "6", True), (r"\log_{2}{16}", "4", True), ("1.5e3", "1500", True), (r"3\times10^{4}", "30000", True), ("101_2", "101_{2}", True), ("3:2", "3 : 2", True), (r"0.\overline{3}", r"\frac{1}{3}", True),
]  # fmt: skip
