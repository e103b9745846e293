//! What a person has typed for this run of the program: a retry asks nobody again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use fasp_net::control::ssh::credentials::{Prompt, Secret};

use crate::ui;

/// Answers by question. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Secret>,
    /// Given in this attempt: whoever asks the same once more wants another answer.
    given: HashSet<String>,
}

impl Answers {
    /// Returns a prompt for a new attempt to log in.
    pub(super) fn prompt(&self) -> Prompt {
        self.state().given.clear();
        let answers = self.clone();
        Prompt::new(move |question| answers.ask(question))
    }

    fn ask(&self, question: &str) -> Option<Secret> {
        let is_new = self.state().given.insert(question.to_owned());
        if is_new && let Some(known) = self.state().known.get(question) {
            return Some(known.clone());
        }
        let answer = ui::ask_secret(question)?;
        let known = answer.clone();
        self.state().known.insert(question.to_owned(), known);
        Some(answer)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Both maps are whole whenever the lock is free, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
