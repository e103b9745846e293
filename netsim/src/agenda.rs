//! Which link wants attention first.

/// Nothing planned.
pub(crate) const NEVER: u64 = u64::MAX;

/// One planned moment per link, and the earliest of them at hand.
///
/// A tree of minima: each inner node repeats the earlier of its two children. Every packet changes a
/// link's moment, and unlike a heap the tree replaces it in place, so nothing outdated is left behind.
#[derive(Debug, Clone)]
pub(crate) struct Agenda {
    /// Node 1 is the root, nodes 2n and 2n + 1 are below node n, and the second half are the links.
    nodes: Vec<(u64, usize)>,
    links: usize,
}

impl Agenda {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![(NEVER, 0); 2],
            links: 0,
        }
    }

    /// Makes room for one more link, with nothing planned.
    pub(crate) fn add_link(&mut self) {
        if self.links == self.nodes.len() / 2 {
            let planned = self.nodes.split_off(self.links);
            self.nodes = vec![(NEVER, 0); self.links * 4];
            for (link, (at, _)) in planned.into_iter().enumerate() {
                self.plan(link, at);
            }
        }
        self.links += 1;
    }

    /// Replaces the moment of a link.
    #[inline]
    pub(crate) fn plan(&mut self, link: usize, at: u64) {
        let mut node = self.nodes.len() / 2 + link;
        self.nodes[node] = (at, link);
        while node > 1 {
            // The smaller number wins a tie, so that a run repeats.
            let earlier = self.nodes[node & !1].min(self.nodes[node | 1]);
            node /= 2;
            if self.nodes[node] == earlier {
                break;
            }
            self.nodes[node] = earlier;
        }
    }

    /// Returns the earliest moment and its link; the moment is [`NEVER`] when nothing is planned.
    #[inline]
    pub(crate) fn first(&self) -> (u64, usize) {
        self.nodes[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn an_empty_agenda_plans_nothing() {
        let mut agenda = Agenda::new();
        assert_eq!(agenda.first().0, NEVER);
        agenda.add_link();
        assert_eq!(agenda.first().0, NEVER);
    }

    #[test]
    fn the_first_moment_agrees_with_a_search() {
        let seed = 17;
        let mut rng = Rng::new(seed);
        let mut agenda = Agenda::new();
        let mut planned: Vec<u64> = Vec::new();
        for step in 0..20_000 {
            if step % 1_000 == 0 {
                agenda.add_link();
                planned.push(NEVER);
            }
            let link = rng.index(planned.len());
            let at = if rng.chance(0.2) {
                NEVER
            } else {
                rng.up_to(50)
            };
            planned[link] = at;
            agenda.plan(link, at);
            let (first, who) = agenda.first();
            assert_eq!(
                Some(&first),
                planned.iter().min(),
                "seed {seed}, step {step}"
            );
            assert_eq!(planned[who], first, "seed {seed}, step {step}");
        }
    }
}
