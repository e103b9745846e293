//! `aspera.conf`: the XML file that servers, endpoints and clients take their settings from.
//!
//! - [`Conf`] reads a document and keeps its text byte for byte; a change touches its own value only.
//! - [`schema`] is the table of options, with their types, units and built-in values.
//! - [`check()`] says what is wrong in a file, with line, column and what may have been meant.
//! - [`resolve`] decides which value counts for a user, and says where it comes from; [`effective`] has the result as types.
//! - [`Command`] is an expression in the language of `asconfigurator`, and [`Conf::apply`] carries it out.
//! - [`store`] finds files, reads them and changes them in one step.
//!
//! ```
//! use aspera_conf::{Command, Conf, resolve::{Origin, Person, Resolver}};
//!
//! let mut conf = Conf::parse(b"<CONF version=\"2\">\n  <default/> <!-- ours -->\n</CONF>\n")?;
//! conf.apply(&Command::parse("set_node_data;absolute,/srv/$(name);read_allowed,yes")?)?;
//! assert!(conf.text().contains("<read_allowed>true</read_allowed>"));
//! assert!(conf.text().contains("<!-- ours -->"));
//!
//! let resolver = Resolver::new(&conf, Person { name: "ada", ..Person::default() });
//! let docroot = resolver.option("absolute")?;
//! assert_eq!(docroot.shown(), "/srv/ada");
//! assert_eq!(docroot.origin.to_string(), "default");
//! assert_eq!(resolver.option("write_allowed")?.origin, Origin::BuiltIn);
//! # Ok::<(), aspera_conf::Error>(())
//! ```
//!
//! Documents come from people and tools that may be hostile: no document type, entity or processing instruction is
//! accepted, nothing is ever fetched, and size, depth, attributes and elements are bounded ([`xml`]).
#![forbid(unsafe_code)]

pub mod check;
mod command;
mod conf;
mod edit;
pub mod effective;
mod error;
pub mod resolve;
pub mod schema;
pub mod store;
pub mod xml;

pub use check::check;
pub use command::{Assignment, Command, MAX_EXPRESSION, Verb};
pub use conf::{Conf, Record, Stated};
pub use edit::Line;
pub use error::{Error, Result};
