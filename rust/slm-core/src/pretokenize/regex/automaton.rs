//! From a tree to a table: which state follows which symbol, and whether a match has ended before it.
//!
//! A state stands for what a backtracking engine would still try, in its order. An attempt that comes to an end makes those after
//! it needless, so the one that counts is the one that such an engine finds ("leftmost-first"). The next symbol is known when
//! a step is taken, which is why looking one character ahead costs nothing.

use super::parse::Node;
use super::symbols::{SymbolSet, Symbols};
use hashbrown::HashMap;

/// The state of an attempt that begins.
pub(super) const START: u32 = 0;

/// The state that no match comes after.
pub(super) const DEAD: u32 = 1;

/// Instructions and states that a regex may become: some megabytes.
const MAX_INSTRUCTIONS: usize = 20_000;
const MAX_STATES: usize = 10_000;

/// What one attempt does.
enum Instruction {
    /// Takes a symbol of the set.
    Take(SymbolSet, usize),
    /// Goes on where the next symbol is of the set.
    Look(SymbolSet, usize),
    /// Tries several ways, in this order.
    Try(Vec<usize>),
    /// Has matched.
    Accept,
}

/// What follows a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The next state.
    pub(super) target: u32,
    /// Whether a match ends before the symbol.
    pub(super) is_match: bool,
}

pub(super) struct Automaton {
    /// A row for each state, a column for each symbol and one for the end of the text: twice the target, plus 1 for a match.
    steps: Vec<u32>,
    num_columns: usize,
}

impl Automaton {
    pub(super) fn new(tree: &Node, symbols: &Symbols) -> Result<Self, &'static str> {
        let mut program = Program { instructions: vec![Instruction::Accept], symbols };
        let entry = program.compile(tree, 0).ok_or("it is too large")?;
        program.determine(entry).ok_or("its automaton is too large")
    }

    #[inline]
    pub(super) fn step(&self, state: u32, symbol: usize) -> Step {
        let step = self.steps[state as usize * self.num_columns + symbol];
        Step { target: step >> 1, is_match: step & 1 == 1 }
    }

    /// Whether empty text is a match somewhere.
    pub(super) fn matches_nothing(&self) -> bool {
        (0..self.num_columns).any(|symbol| self.step(START, symbol).is_match)
    }

    /// For every two symbols, whether a text can be cut between them.
    ///
    /// Whatever an attempt was doing when it took the first one, it must end at the second, and in the same way as it would at
    /// the end of the text: then no match crosses the cut, and all before it is split as if nothing followed. Nothing looks
    /// back, so what follows is split as if nothing came before. Only stretches without a match could cross it: so one of
    /// the two must be a match by itself, whatever follows.
    pub(super) fn cuts(&self) -> Vec<bool> {
        let end = self.num_columns - 1;
        let num_states = self.steps.len() / self.num_columns;
        let is_match_alone = |symbol| {
            let Step { target, .. } = self.step(START, symbol);
            target != DEAD && (0..=end).all(|next| self.step(target, next).is_match)
        };
        let matches_alone: Vec<bool> = (0..end).map(is_match_alone).collect();
        let mut cuts = Vec::with_capacity(end * end);
        for before in 0..end {
            #[expect(clippy::cast_possible_truncation, reason = "there are few states")]
            let mut taken: Vec<u32> = (0..num_states as u32).map(|state| self.step(state, before).target).collect();
            taken.sort_unstable();
            taken.dedup();
            taken.retain(|&state| state != DEAD);
            cuts.extend((0..end).map(|after| {
                (matches_alone[before] || matches_alone[after])
                    && taken.iter().all(|&state| self.step(state, after) == self.step(state, end))
            }));
        }
        cuts
    }
}

struct Program<'a> {
    instructions: Vec<Instruction>,
    symbols: &'a Symbols,
}

impl Program<'_> {
    fn push(&mut self, instruction: Instruction) -> Option<usize> {
        self.instructions.push(instruction);
        (self.instructions.len() <= MAX_INSTRUCTIONS).then_some(self.instructions.len() - 1)
    }

    /// Where `node` begins if `next` comes after it; `None` if that is too much.
    fn compile(&mut self, node: &Node, next: usize) -> Option<usize> {
        match node {
            Node::Class(class) => self.push(Instruction::Take(self.symbols.set(class, false), next)),
            Node::Look { class, or_end } => self.push(Instruction::Look(self.symbols.set(class, *or_end), next)),
            Node::Concat(nodes) => nodes.iter().rev().try_fold(next, |next, node| self.compile(node, next)),
            Node::Alternate(nodes) => {
                let ways = nodes.iter().map(|node| self.compile(node, next)).collect::<Option<_>>()?;
                self.push(Instruction::Try(ways))
            }
            Node::Repeat { node, min, max, is_greedy } => {
                let ways = |more, enough| if *is_greedy { vec![more, enough] } else { vec![enough, more] };
                let mut next = next;
                match max {
                    None => {
                        let again = self.push(Instruction::Try(Vec::new()))?;
                        let more = self.compile(node, again)?;
                        self.instructions[again] = Instruction::Try(ways(more, next));
                        next = again;
                    }
                    Some(max) => {
                        let enough = next;
                        for _ in *min..*max {
                            let more = self.compile(node, next)?;
                            next = self.push(Instruction::Try(ways(more, enough)))?;
                        }
                    }
                }
                (0..*min).try_fold(next, |next, _| self.compile(node, next))
            }
        }
    }

    /// The automaton whose states are the attempts that may be going on at once.
    fn determine(&self, entry: usize) -> Option<Automaton> {
        let num_columns = self.symbols.count() + 1;
        let mut states = vec![vec![entry], Vec::new()];
        let mut numbers: HashMap<Vec<usize>, u32, _> = HashMap::with_hasher(foldhash::fast::FixedState::default());
        numbers.extend(states.iter().cloned().zip([START, DEAD]));
        let mut steps = Vec::new();
        let mut state = 0;
        while state < states.len() {
            for symbol in 0..num_columns {
                let mut step =
                    StepOf { program: self, symbol, seen: vec![false; self.instructions.len()], next: Vec::new() };
                let is_match = states[state].iter().any(|&at| step.follow(at));
                let number = u32::try_from(states.len()).ok()?;
                let target = *numbers.entry_ref(step.next.as_slice()).or_insert_with(|| {
                    states.push(step.next.clone());
                    number
                });
                steps.push(target << 1 | u32::from(is_match));
            }
            state += 1;
            if states.len() > MAX_STATES {
                return None;
            }
        }
        Some(Automaton { steps, num_columns })
    }
}

/// What all attempts of a state do at a symbol.
struct StepOf<'a> {
    program: &'a Program<'a>,
    symbol: usize,
    seen: Vec<bool>,
    /// Where those that took it are afterwards, in order.
    next: Vec<usize>,
}

impl StepOf<'_> {
    /// Follows one attempt; whether it has matched, so that those after it are needless.
    fn follow(&mut self, at: usize) -> bool {
        if std::mem::replace(&mut self.seen[at], true) {
            return false;
        }
        match &self.program.instructions[at] {
            Instruction::Accept => true,
            Instruction::Take(set, next) => {
                if set[self.symbol] && !self.next.contains(next) {
                    self.next.push(*next);
                }
                false
            }
            Instruction::Look(set, next) => set[self.symbol] && self.follow(*next),
            Instruction::Try(ways) => ways.iter().any(|&way| self.follow(way)),
        }
    }
}
