//! Reads the part of ProVerif's language that the models are written in. Everything is a `bitstring`.

use std::collections::BTreeMap;
use std::rc::Rc;

/// A term as it is written.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Name(String),
    Call(String, Vec<Expr>),
    Tuple(Vec<Expr>),
}

/// What something received or computed must look like.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Anything(String),
    Tuple(Vec<Pattern>),
    Exactly(Expr),
}

/// What somebody does.
#[derive(Clone, Debug)]
pub(super) enum Process {
    Nothing,
    Beside(Vec<Process>),
    Again(Box<Process>),
    New(String, Box<Process>),
    In(Pattern, Box<Process>),
    Out(Expr, Box<Process>),
    Let(Pattern, Expr, Box<Process>),
    Event(String, Vec<Expr>, Box<Process>),
    Insert(String, Vec<Expr>, Box<Process>),
    Get(String, Vec<Pattern>, Box<Process>),
    Phase(u8, Box<Process>),
    Run(String, Vec<Expr>),
}

/// What a query is about.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    Event(String, Vec<Expr>),
    Attacker(Expr),
    Equal(Expr, Expr),
}

impl Expr {
    fn mentions(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Call(_, parts) | Self::Tuple(parts) => parts.iter().any(|part| part.mentions(name)),
        }
    }
}

impl Claim {
    pub(super) fn mentions(&self, name: &str) -> bool {
        match self {
            Self::Event(_, arguments) => arguments.iter().any(|argument| argument.mentions(name)),
            Self::Attacker(what) => what.mentions(name),
            Self::Equal(one, other) => one.mentions(name) || other.mentions(name),
        }
    }
}

/// Whenever all of `when`, then one of `then`; none of them can be is written `false`.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) variables: Vec<String>,
    pub(super) when: Vec<Claim>,
    pub(super) then: Vec<Claim>,
}

/// One way to compute a function that takes things apart.
#[derive(Clone, Debug)]
pub(super) struct Reduction {
    pub(super) variables: Vec<String>,
    pub(super) arguments: Vec<Expr>,
    pub(super) result: Expr,
}

/// A model, read.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Constructors: how many arguments, and whether the attacker can compute them.
    pub(super) functions: BTreeMap<String, (usize, bool)>,
    pub(super) reductions: BTreeMap<String, (Reduction, bool)>,
    pub(super) shorthands: BTreeMap<String, (Vec<String>, Expr)>,
    pub(super) processes: BTreeMap<String, (Vec<String>, Rc<Process>)>,
    pub(super) queries: Vec<Query>,
    pub(super) main: Option<Rc<Process>>,
}

/// What could not be read, and where.
pub(super) type Wrong = String;

impl Model {
    /// Adds what is written in a file.
    pub(super) fn read(&mut self, file: &str, text: &str) -> Result<(), Wrong> {
        let mut reader = Reader { tokens: tokens(text), at: 0 };
        while reader.at < reader.tokens.len() {
            let line = reader.line();
            self.declaration(&mut reader).map_err(|what| format!("{file}:{line}: {what}"))?;
        }
        Ok(())
    }

    fn declaration(&mut self, reader: &mut Reader) -> Result<(), Wrong> {
        match reader.word()?.as_str() {
            "free" | "const" => {
                let names = reader.variables()?;
                let private = reader.private()?;
                for name in names {
                    self.functions.insert(name, (0, !private));
                }
            }
            "fun" => {
                let name = reader.word()?;
                let types = reader.in_parentheses(Reader::word)?;
                reader.expect(":")?;
                reader.word()?;
                let private = reader.private()?;
                self.functions.insert(name, (types.len(), !private));
            }
            "event" | "table" => {
                reader.word()?;
                reader.in_parentheses(Reader::word)?;
                reader.expect(".")?;
            }
            "reduc" => {
                reader.expect("forall")?;
                let variables = reader.variables()?;
                reader.expect(";")?;
                let name = reader.word()?;
                let arguments = reader.in_parentheses(Reader::expr)?;
                reader.expect("=")?;
                let result = reader.expr()?;
                let private = reader.private()?;
                self.reductions.insert(name, (Reduction { variables, arguments, result }, !private));
            }
            // Only that of Diffie-Hellman is known; see `Term`.
            "equation" => {
                let from = reader.at;
                while !reader.takes(".") {
                    reader.at += 1;
                }
                let written: String =
                    reader.tokens[from..reader.at].iter().map(|(t, _)| t.as_str()).collect();
                let known = "forallx:bitstring,y:bitstring;exp(exp(g,x),y)=exp(exp(g,y),x).";
                if written != known {
                    return Err(format!("an equation that is not known here: {written}"));
                }
            }
            "letfun" => {
                let name = reader.word()?;
                let parameters = reader.parameters()?;
                reader.expect("=")?;
                let expr = reader.expr()?;
                reader.expect(".")?;
                self.shorthands.insert(name, (parameters, expr));
            }
            "let" => {
                let name = reader.word()?;
                let parameters = reader.parameters()?;
                reader.expect("=")?;
                let process = reader.process()?;
                reader.expect(".")?;
                self.processes.insert(name, (parameters, Rc::new(process)));
            }
            "query" => {
                let mut variables = Vec::new();
                if !reader.sees("event") && !reader.sees("attacker") {
                    variables = reader.variables()?;
                    reader.expect(";")?;
                }
                let mut when = vec![reader.claim()?];
                while reader.takes("&&") {
                    when.push(reader.claim()?);
                }
                reader.expect("==>")?;
                let mut then = Vec::new();
                if !reader.takes("false") {
                    then.push(reader.claim()?);
                    while reader.takes("||") {
                        then.push(reader.claim()?);
                    }
                }
                reader.expect(".")?;
                self.queries.push(Query { variables, when, then });
            }
            "process" => self.main = Some(Rc::new(reader.process()?)),
            other => return Err(format!("no declaration begins with {other:?}")),
        }
        Ok(())
    }
}

struct Reader {
    tokens: Vec<(String, usize)>,
    at: usize,
}

impl Reader {
    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |(_, line)| *line)
    }

    fn sees(&self, token: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|(next, _)| next == token)
    }

    fn takes(&mut self, token: &str) -> bool {
        let sees = self.sees(token);
        self.at += usize::from(sees);
        sees
    }

    fn expect(&mut self, token: &str) -> Result<(), Wrong> {
        if self.takes(token) {
            return Ok(());
        }
        let next = self.tokens.get(self.at).map_or("the end", |(next, _)| next);
        Err(format!("line {}: {token:?} expected, not {next:?}", self.line()))
    }

    fn word(&mut self) -> Result<String, Wrong> {
        let next = self.tokens.get(self.at).map(|(next, _)| next.clone());
        let word = next.filter(|next| next.starts_with(|c: char| c.is_alphanumeric()));
        let word = word.ok_or_else(|| format!("line {}: a word expected", self.line()))?;
        self.at += 1;
        Ok(word)
    }

    fn listed<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
        let mut all = vec![one(self)?];
        while self.takes(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn in_parentheses<T>(&mut self, one: impl FnMut(&mut Self) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
        self.expect("(")?;
        if self.takes(")") {
            return Ok(Vec::new());
        }
        let all = self.listed(one)?;
        self.expect(")")?;
        Ok(all)
    }

    /// `a, b: bitstring, c: bitstring`
    fn variables(&mut self) -> Result<Vec<String>, Wrong> {
        self.listed(|reader| {
            let name = reader.word()?;
            if reader.takes(":") {
                reader.word()?;
            }
            Ok(name)
        })
    }

    fn parameters(&mut self) -> Result<Vec<String>, Wrong> {
        if !self.sees("(") {
            return Ok(Vec::new());
        }
        self.in_parentheses(|reader| {
            let name = reader.word()?;
            reader.expect(":")?;
            reader.word()?;
            Ok(name)
        })
    }

    /// ` [private].` or `.`
    fn private(&mut self) -> Result<bool, Wrong> {
        let private = self.takes("[");
        if private {
            self.expect("private")?;
            self.expect("]")?;
        }
        self.expect(".")?;
        Ok(private)
    }

    fn expr(&mut self) -> Result<Expr, Wrong> {
        if self.sees("(") {
            let mut parts = self.in_parentheses(Self::expr)?;
            return Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Tuple(parts) });
        }
        let name = self.word()?;
        Ok(if self.sees("(") { Expr::Call(name, self.in_parentheses(Self::expr)?) } else { Expr::Name(name) })
    }

    fn pattern(&mut self) -> Result<Pattern, Wrong> {
        if self.takes("=") {
            return Ok(Pattern::Exactly(self.expr()?));
        }
        if self.sees("(") {
            let mut parts = self.in_parentheses(Self::pattern)?;
            return Ok(if parts.len() == 1 { parts.remove(0) } else { Pattern::Tuple(parts) });
        }
        let name = self.word()?;
        if self.takes(":") {
            self.word()?;
        }
        Ok(Pattern::Anything(name))
    }

    fn claim(&mut self) -> Result<Claim, Wrong> {
        if self.takes("event") {
            self.expect("(")?;
            let Expr::Call(name, arguments) = self.expr()? else { return Err("an event expected".into()) };
            self.expect(")")?;
            return Ok(Claim::Event(name, arguments));
        }
        if self.takes("attacker") {
            self.expect("(")?;
            let what = self.expr()?;
            self.expect(")")?;
            return Ok(Claim::Attacker(what));
        }
        let one = self.expr()?;
        self.expect("=")?;
        Ok(Claim::Equal(one, self.expr()?))
    }

    fn process(&mut self) -> Result<Process, Wrong> {
        let mut all = vec![self.step()?];
        while self.takes("|") {
            all.push(self.step()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Process::Beside(all) })
    }

    /// What comes after a `;`, nothing when there is none.
    fn then(&mut self) -> Result<Box<Process>, Wrong> {
        Ok(Box::new(if self.takes(";") { self.step()? } else { Process::Nothing }))
    }

    fn step(&mut self) -> Result<Process, Wrong> {
        if self.takes("(") {
            let inside = self.process()?;
            self.expect(")")?;
            return Ok(inside);
        }
        if self.takes("!") {
            return Ok(Process::Again(Box::new(self.step()?)));
        }
        let word = self.word()?;
        Ok(match word.as_str() {
            "0" => Process::Nothing,
            "new" => {
                let name = self.word()?;
                self.expect(":")?;
                self.word()?;
                Process::New(name, self.then()?)
            }
            "in" => {
                self.channel()?;
                let pattern = self.pattern()?;
                self.expect(")")?;
                Process::In(pattern, self.then()?)
            }
            "out" => {
                self.channel()?;
                let expr = self.expr()?;
                self.expect(")")?;
                Process::Out(expr, self.then()?)
            }
            "let" => {
                let pattern = self.pattern()?;
                self.expect("=")?;
                let expr = self.expr()?;
                self.expect("in")?;
                Process::Let(pattern, expr, Box::new(self.step()?))
            }
            "event" => {
                let name = self.word()?;
                let arguments = self.in_parentheses(Self::expr)?;
                Process::Event(name, arguments, self.then()?)
            }
            "insert" => {
                let name = self.word()?;
                let columns = self.in_parentheses(Self::expr)?;
                Process::Insert(name, columns, self.then()?)
            }
            "get" => {
                let name = self.word()?;
                let columns = self.in_parentheses(Self::pattern)?;
                self.expect("in")?;
                Process::Get(name, columns, Box::new(self.step()?))
            }
            "phase" => {
                let number = self.word()?.parse().map_err(|_| "the number of a phase expected")?;
                Process::Phase(number, self.then()?)
            }
            _ => {
                let arguments = if self.sees("(") { self.in_parentheses(Self::expr)? } else { Vec::new() };
                Process::Run(word, arguments)
            }
        })
    }

    /// `(c, `: there is one channel, and it is the attacker's.
    fn channel(&mut self) -> Result<(), Wrong> {
        self.expect("(")?;
        self.expect("c")?;
        self.expect(",")
    }
}

/// Words and signs with their lines, without comments.
fn tokens(text: &str) -> Vec<(String, usize)> {
    let characters: Vec<char> = text.chars().collect();
    let (mut found, mut at, mut line, mut comment) = (Vec::new(), 0, 1, 0);
    while let Some(&here) = characters.get(at) {
        let pair: String = characters[at..].iter().take(2).collect();
        line += usize::from(here == '\n');
        if pair == "(*" || comment > 0 && pair == "*)" {
            comment = if pair == "(*" { comment + 1 } else { comment - 1 };
            at += 2;
        } else if comment > 0 || here.is_whitespace() {
            at += 1;
        } else if here.is_alphanumeric() {
            let word: String =
                characters[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
            at += word.chars().count();
            found.push((word, line));
        } else {
            let signs = ["==>", "&&", "||"];
            let rest: String = characters[at..].iter().take(3).collect();
            let sign = signs.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.map_or_else(|| here.to_string(), String::from);
            at += sign.chars().count();
            found.push((sign, line));
        }
    }
    found
}
