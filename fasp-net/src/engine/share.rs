//! A session's share of a list that several send (protocol §13.2).

use std::sync::Arc;

use super::lister::{Gone, Listing, lock};
use super::pool::{Hand, Item, Pool, Taken};

impl Listing {
    /// Lists what this session takes from the pool, until there is nothing any more.
    pub(super) fn run_share(&mut self, pool: &Pool, hand: &Arc<Hand>, is_first: bool) {
        while Arc::strong_count(hand) > 1 {
            hand.set_asked(lock(&self.asked).len());
            let has_page = !self.current.is_empty();
            let listed = match pool.take(is_first, hand, has_page) {
                Ok(Taken::Item(item)) => self.list_item(item),
                Ok(Taken::Nothing) if has_page => self.close_page(),
                Ok(Taken::Nothing) => Ok(()),
                Ok(Taken::End) => return self.end(),
                // Without an end, which nobody waits for any more.
                Err(Gone) => return,
            };
            if listed.is_err() {
                return;
            }
        }
    }

    fn list_item(&mut self, item: Item) -> Result<(), Gone> {
        match item {
            Item::Listed(listed) => self.current.absorb(*listed),
            Item::Link {
                path,
                target,
                original,
            } => self.link(&path, &target, original),
            Item::Offer(offer) => self.list_offer(offer, None)?,
        }
        self.close_full_page()
    }
}
